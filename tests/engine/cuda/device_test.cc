// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/device.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/cuda/need_device.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::MatchesRegex;

TEST(DeviceTest, ReadsADevicesNumber) {
  EXPECT_EQ(CudaDeviceIndex("cuda").value(), 0);
  EXPECT_EQ(CudaDeviceIndex("cuda:0").value(), 0);
  EXPECT_EQ(CudaDeviceIndex("cuda:12").value(), 12);
}

TEST(DeviceTest, RefusesOtherNamesAndNamesThem) {
  for (const char* name : {"", "cpu", "cuda:", "cuda:x", "cuda:-1", "cuda:128",
                           "cuda0", "CUDA", "cuda:99999999999"}) {
    EXPECT_THAT(CudaDeviceIndex(name),
                StatusIs(absl::StatusCode::kInvalidArgument, name));
  }
}

TEST(DeviceTest, SaysThatADeviceIsNotThere) {
  EXPECT_THAT(
      OpenCudaDevice("cuda:127"),
      StatusIs(absl::StatusCode::kFailedPrecondition, "device cuda:127: "));
}

TEST(DeviceTest, SaysThatNoDeviceIsThere) {
  if (HasCudaDevice()) GTEST_SKIP() << "skipped: a CUDA device";

  EXPECT_THAT(OpenCudaDevice("cuda"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "device cuda: "));
}

TEST(DeviceTest, OpensTheFirstDevice) {
  SPANLM_NEED_CUDA_DEVICE();

  const absl::StatusOr<CudaDevice> device = OpenCudaDevice("cuda");

  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(device->index, 0);
  EXPECT_THAT(device->architecture, MatchesRegex("sm_[0-9]+"));
}

}  // namespace
}  // namespace spanlm
