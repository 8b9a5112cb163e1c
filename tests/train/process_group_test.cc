// SPDX-License-Identifier: Apache-2.0
#include "train/process_group.h"

#include <ATen/Functions.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ProcessGroupTest, WithoutVariablesAProcessIsAlone) {
  ASSERT_OK_AND_ASSIGN(const auto group, ProcessGroup::FromEnvironment("cpu"));
  const at::Tensor ones = at::ones({3});

  group->Sum(ones);

  EXPECT_EQ(group->size(), 1);
  EXPECT_TRUE(group->is_first());
  EXPECT_TRUE(group->device().is_cpu());
  EXPECT_TRUE(ones.eq(1).all().item<bool>());
}

TEST(ProcessGroupTest, SaysWhyThereIsNoDevice) {
  EXPECT_THAT(
      ProcessGroup::FromEnvironment("cuda"),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("--device is \"cuda\", but "),
                     HasSubstr("built without CUDA"), HasSubstr("want cpu"))));
}

}  // namespace
}  // namespace spanlm
