// SPDX-License-Identifier: Apache-2.0
// An update's gradients in a few flat buckets, which the processes of a group
// sum while the backward pass still runs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "engine/model/layers.h"
#include "train/process_group.h"

namespace spanlm {

// Parameters lie in the buckets from the last to the first, about as a backward
// pass comes to them. A hook on each takes its gradient from every row part's
// pass; with the last part's it is summed over the parts in their order, so
// that who was first changes nothing. In an update's last batch a bucket leaves
// as soon as it and those before it are full: in one order in all processes.
//
// BeginBatch, a Backward for each part, EndBatch. Where one of them throws
// (what LibTorch or the group throws), the next update begins with BeginBatch;
// it waits for the sums still on their way. One thread at a time but for
// Backward.
class GradientBuckets {
 public:
  // The tensors of `parameters`, all of one type, require gradients and are
  // shared; `group` is lent. A batch's gradients come from `parts` passes and
  // are, with `rounds_to_half`, rounded to half.
  GradientBuckets(const std::vector<NamedTensor>& parameters, size_t parts,
                  bool rounds_to_half, ProcessGroup* group);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // An update's first batch replaces the gradients, others add to them.
  void BeginBatch(bool is_first, bool is_last);
  // The backward pass of part `part`; each part's by one thread.
  void Backward(size_t part, const at::Tensor& loss);
  // After the last batch: the gradients are summed over batches, parts and
  // processes. A parameter that no loss depends on has zeros.
  void EndBatch();

  void Scale(double factor);
  // In the order of the parameters, dense; the same tensors for good.
  const std::vector<at::Tensor>& gradients() const { return gradients_; }

 private:
  struct Parameter {
    unsigned hook = 0;
    size_t bucket = 0;
    std::vector<at::Tensor> of_part;  // undefined until it comes
    size_t missing = 0;               // parts that it has not come from
  };
  struct Bucket {
    at::Tensor flat;
    size_t size = 0;     // parameters
    size_t missing = 0;  // parameters that are not summed
  };

  void MakeBuckets() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(size_t index, const at::Tensor& gradient);
  // Moves what came of a parameter into its bucket.
  void SumParts(size_t index, const std::vector<at::Tensor>& of_part);
  void CountSummed(size_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FinishSums();

  const size_t parts_;
  const bool rounds_to_half_;
  ProcessGroup* const group_;
  std::vector<at::Tensor> tensors_;
  std::vector<at::Tensor> gradients_;  // views of the buckets
  bool is_first_ = true;               // of this batch, as the next one
  bool exchanges_ = false;
  Mutex mutex_;
  bool collects_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Parameter> parameters_ ABSL_GUARDED_BY(mutex_);
  std::vector<Bucket> buckets_ ABSL_GUARDED_BY(mutex_);
  size_t next_bucket_ ABSL_GUARDED_BY(mutex_) = 0;  // to leave
  std::vector<std::function<void()>> sums_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace spanlm
