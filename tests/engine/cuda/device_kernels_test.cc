// SPDX-License-Identifier: Apache-2.0
// The kernels on a device against their reference twins. Skipped without one.
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "engine/kernels/reference/span_attention.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/cuda/attention_cases.h"
#include "tests/engine/cuda/need_device.h"

namespace spanlm {
namespace {

// Sums of up to 128 products and 128 positions in float against double.
constexpr double kTolerance = 2e-5;

void CheckCuda(cudaError_t error) { SPANLM_CHECK(error == cudaSuccess); }

// A problem's memory on the device, its arguments pointing there.
class DeviceProblem {
 public:
  explicit DeviceProblem(AttentionProblem* problem)
      : regions_(problem->regions()),
        attention_(problem->attention()),
        append_(problem->append()) {
    for (const AttentionProblem::Region& region : regions_) {
      void* copy = nullptr;
      CheckCuda(cudaMalloc(&copy, region.bytes + 1));
      CheckCuda(
          cudaMemcpy(copy, region.data, region.bytes, cudaMemcpyHostToDevice));
      copies_.push_back(static_cast<std::byte*>(copy));
    }
    for (const float** pointer :
         {&attention_.query, &attention_.value, &attention_.cache,
          &attention_.staged_keys, &attention_.mask, &attention_.position_keys,
          &attention_.content_bias, &attention_.position_bias, &append_.key,
          &append_.value}) {
      *pointer = Moved(*pointer);
    }
    attention_.out = Moved(attention_.out);
    attention_.chunks = Moved(attention_.chunks);
    attention_.row_chunk = Moved(attention_.row_chunk);
    attention_.head = Moved(attention_.head);
    append_.cache = Moved(append_.cache);
    append_.staged_keys = Moved(append_.staged_keys);
    append_.head = attention_.head;
    append_.chunks = attention_.chunks;
  }
  ~DeviceProblem() {
    for (std::byte* copy : copies_) CheckCuda(cudaFree(copy));
  }
  DeviceProblem(const DeviceProblem&) = delete;
  DeviceProblem& operator=(const DeviceProblem&) = delete;

  const kernels::SpanAttentionArgs& attention() const { return attention_; }
  const kernels::CacheAppendArgs& append() const { return append_; }

  // Waits for the device and writes its memory back into the problem's.
  void CopyBack() {
    CheckCuda(cudaDeviceSynchronize());
    for (size_t i = 0; i < copies_.size(); ++i) {
      CheckCuda(cudaMemcpy(regions_[i].data, copies_[i], regions_[i].bytes,
                           cudaMemcpyDeviceToHost));
    }
  }

 private:
  // Where what `pointer` points to lies on the device.
  template <typename T>
  T* Moved(T* pointer) const {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    for (size_t i = 0; i < copies_.size(); ++i) {
      const auto begin = reinterpret_cast<uintptr_t>(regions_[i].data);
      if (address >= begin && address < begin + regions_[i].bytes) {
        return reinterpret_cast<T*>(copies_[i] + (address - begin));
      }
    }
    return nullptr;
  }

  std::vector<AttentionProblem::Region> regions_;
  std::vector<std::byte*> copies_;
  kernels::SpanAttentionArgs attention_;
  kernels::CacheAppendArgs append_;
};

class DeviceKernelTest : public testing::TestWithParam<AttentionCase> {
 protected:
  void SetUp() override { SPANLM_NEED_CUDA_DEVICE(); }
};

TEST_P(DeviceKernelTest, AttendsAsTheReferenceDoes) {
  AttentionProblem problem(GetParam().setup);
  const std::vector<double> want =
      SpanAttentionReference(problem.attention(), problem.append().key,
                             problem.append().key_row_stride);
  DeviceProblem device(&problem);

  ASSERT_EQ(kernels::StageKeysCuda(device.append(), nullptr), nullptr);
  ASSERT_EQ(kernels::SpanAttentionCuda(device.attention(), nullptr), nullptr);
  device.CopyBack();

  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(problem.out()[i], want[i], kTolerance) << "element " << i;
  }
}

TEST_P(DeviceKernelTest, GivesTheSameBitsTwice) {
  AttentionProblem first(GetParam().setup);
  AttentionProblem second(GetParam().setup);
  for (AttentionProblem* problem : {&first, &second}) {
    DeviceProblem device(problem);
    ASSERT_EQ(kernels::StageKeysCuda(device.append(), nullptr), nullptr);
    ASSERT_EQ(kernels::SpanAttentionCuda(device.attention(), nullptr), nullptr);
    device.CopyBack();
  }

  EXPECT_EQ(first.out(), second.out());
}

TEST_P(DeviceKernelTest, StagesAndAppendsTheCpuKernelsBits) {
  AttentionProblem problem(GetParam().setup);
  AttentionProblem twin(GetParam().setup);
  DeviceProblem device(&problem);

  ASSERT_EQ(kernels::StageKeysCuda(device.append(), nullptr), nullptr);
  ASSERT_EQ(kernels::AppendToCacheCuda(device.append(), nullptr), nullptr);
  device.CopyBack();

  const int64_t tasks =
      int64_t{twin.append().chunk_count} * twin.append().heads;
  ASSERT_EQ(kernels::StageKeysCpu(twin.append(), 0, tasks), nullptr);
  ASSERT_EQ(kernels::AppendToCacheCpu(twin.append(), 0, tasks), nullptr);
  EXPECT_EQ(problem.staged(), twin.staged());
  EXPECT_EQ(problem.slab(), twin.slab());
}

INSTANTIATE_TEST_SUITE_P(OddSizes, DeviceKernelTest,
                         testing::ValuesIn(AttentionCases()),
                         [](const testing::TestParamInfo<AttentionCase>& info) {
                           return info.param.name;
                         });

}  // namespace
}  // namespace spanlm
