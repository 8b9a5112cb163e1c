// SPDX-License-Identifier: Apache-2.0
// gMock matchers and assertions for absl::Status and absl::StatusOr.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {

inline const absl::Status& StatusOf(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// Matches a Status or StatusOr of `code` whose message satisfies `message`, a
// matcher of std::string or a plain text that must occur in it.
template <typename Message>
class StatusIsMatcher {
 public:
  using is_gtest_matcher = void;
  StatusIsMatcher(absl::StatusCode code, Message message)
      : code_(code),
        message_(testing::MatcherCast<const std::string&>(message)) {}

  template <typename T>
  bool MatchAndExplain(const T& value,
                       testing::MatchResultListener* listener) const {
    const absl::Status& status = StatusOf(value);
    *listener << "which is " << status.ToString();
    return status.code() == code_ &&
           message_.Matches(std::string(status.message()));
  }
  void DescribeTo(std::ostream* os) const {
    *os << "has code " << absl::StatusCodeToString(code_)
        << " and a message that ";
    message_.DescribeTo(os);
  }
  void DescribeNegationTo(std::ostream* os) const {
    *os << "not: ";
    DescribeTo(os);
  }

 private:
  absl::StatusCode code_;
  testing::Matcher<const std::string&> message_;
};

inline auto StatusIs(absl::StatusCode code) {
  return StatusIsMatcher(code, testing::An<const std::string&>());
}
inline auto StatusIs(absl::StatusCode code, const char* part) {
  return StatusIsMatcher(code, testing::HasSubstr(part));
}
template <typename Message>
auto StatusIs(absl::StatusCode code, Message message) {
  return StatusIsMatcher(code, message);
}

MATCHER(IsOk, "is OK") {
  *result_listener << "which is " << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

}  // namespace spanlm

#define SPANLM_TEST_CONCAT_INNER(a, b) a##b
#define SPANLM_TEST_CONCAT(a, b) SPANLM_TEST_CONCAT_INNER(a, b)

// Ends the test unless `expr`, a StatusOr, is OK; moves its value into `lhs`.
#define ASSERT_OK_AND_ASSIGN(lhs, expr)                                     \
  ASSERT_OK_AND_ASSIGN_INNER(SPANLM_TEST_CONCAT(spanlm_or_, __LINE__), lhs, \
                             expr)
#define ASSERT_OK_AND_ASSIGN_INNER(result, lhs, expr) \
  auto result = (expr);                               \
  ASSERT_TRUE(result.ok()) << result.status();        \
  lhs = *std::move(result)
#define ASSERT_OK(expr) ASSERT_THAT(expr, ::spanlm::IsOk())
#define EXPECT_OK(expr) EXPECT_THAT(expr, ::spanlm::IsOk())
