// SPDX-License-Identifier: Apache-2.0
#include "train/gradient_buckets.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <utility>

namespace spanlm {
namespace {

// Elements from which a bucket is full: few messages, yet the first one leaves
// early.
constexpr int64_t kBucketElements = int64_t{1} << 20;

// Whose pass this thread runs. A device's passes have threads of their own, and
// one part.
thread_local size_t running_part = 0;

class PartScope {
 public:
  explicit PartScope(size_t part) { running_part = part; }
  ~PartScope() { running_part = 0; }
  PartScope(const PartScope&) = delete;
  PartScope& operator=(const PartScope&) = delete;
};

}  // namespace

GradientBuckets::GradientBuckets(const std::vector<NamedTensor>& parameters,
                                 size_t parts, bool rounds_to_half,
                                 ProcessGroup* group)
    : parts_(parts),
      rounds_to_half_(rounds_to_half),
      group_(group),
      gradients_(parameters.size()),
      parameters_(parameters.size()) {
  for (const NamedTensor& each : parameters) tensors_.push_back(each.tensor);
  MakeBuckets();
  for (size_t i = 0; i < tensors_.size(); ++i) {
    parameters_[i].hook = tensors_[i].register_hook(
        [this, i](const at::Tensor& gradient) { Take(i, gradient); });
  }
}

GradientBuckets::~GradientBuckets() {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    tensors_[i].remove_hook(parameters_[i].hook);
  }
}

void GradientBuckets::MakeBuckets() {
  const at::TensorOptions options =
      tensors_.front().options().requires_grad(false);
  for (size_t end = tensors_.size(); end > 0;) {
    Bucket bucket;
    int64_t elements = 0;
    size_t begin = end;
    while (begin > 0 && elements < kBucketElements) {
      elements += tensors_[--begin].numel();
    }
    bucket.size = end - begin;
    bucket.flat = at::zeros({elements}, options);
    while (end > begin) {
      const at::Tensor& tensor = tensors_[--end];
      elements -= tensor.numel();
      gradients_[end] =
          bucket.flat.narrow(0, elements, tensor.numel()).view(tensor.sizes());
      parameters_[end].bucket = buckets_.size();
    }
    buckets_.push_back(std::move(bucket));
  }
}

void GradientBuckets::BeginBatch(bool is_first, bool is_last) {
  FinishSums();
  is_first_ = is_first;
  exchanges_ = is_last && group_->size() > 1;
  MutexLock lock(&mutex_);
  for (Parameter& parameter : parameters_) {
    parameter.of_part.assign(parts_, at::Tensor());
    parameter.missing = parts_;
  }
  for (Bucket& bucket : buckets_) bucket.missing = bucket.size;
  next_bucket_ = 0;
  collects_ = true;
}

void GradientBuckets::Backward(size_t part, const at::Tensor& loss) {
  const PartScope scope(part);
  torch::autograd::grad({loss}, tensors_, {}, /*retain_graph=*/std::nullopt,
                        /*create_graph=*/false, /*allow_unused=*/true);
}

void GradientBuckets::Take(size_t index, const at::Tensor& gradient) {
  std::vector<at::Tensor> of_part;
  {
    MutexLock lock(&mutex_);
    if (!collects_) return;  // a pass of someone else's
    Parameter& parameter = parameters_[index];
    parameter.of_part[running_part] = gradient;
    if (--parameter.missing > 0) return;
    of_part.swap(parameter.of_part);
  }
  SumParts(index, of_part);
  MutexLock lock(&mutex_);
  CountSummed(index);
}

void GradientBuckets::SumParts(size_t index,
                               const std::vector<at::Tensor>& of_part) {
  at::NoGradGuard no_grad;
  at::Tensor& gradient = gradients_[index];
  at::Tensor sum = is_first_ ? gradient : at::empty_like(gradient);
  bool is_empty = true;
  for (const at::Tensor& part : of_part) {
    if (!part.defined()) continue;
    is_empty ? sum.copy_(part) : sum.add_(part);
    is_empty = false;
  }
  if (is_empty) sum.zero_();
  if (rounds_to_half_) sum.copy_(sum.to(at::kHalf));
  if (!is_first_) gradient.add_(sum);
}

void GradientBuckets::CountSummed(size_t index) {
  --buckets_[parameters_[index].bucket].missing;
  while (next_bucket_ < buckets_.size() &&
         buckets_[next_bucket_].missing == 0) {
    const at::Tensor& flat = buckets_[next_bucket_++].flat;
    if (exchanges_) sums_.push_back(group_->StartSum(flat));
  }
}

void GradientBuckets::EndBatch() {
  {
    MutexLock lock(&mutex_);
    collects_ = false;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (parameters_[i].missing == 0) continue;
      SumParts(i, parameters_[i].of_part);
      CountSummed(i);
    }
  }
  FinishSums();
}

void GradientBuckets::FinishSums() {
  std::vector<std::function<void()>> sums;
  {
    MutexLock lock(&mutex_);
    sums.swap(sums_);
  }
  for (const std::function<void()>& wait : sums) wait();
}

void GradientBuckets::Scale(double factor) {
  at::NoGradGuard no_grad;
  MutexLock lock(&mutex_);
  for (Bucket& bucket : buckets_) bucket.flat.mul_(factor);
}

}  // namespace spanlm
