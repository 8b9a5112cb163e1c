// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/page.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/jobs/reason.h"

namespace spanlm {
namespace {

constexpr size_t kMaxPageSize = 1000;

std::string Prefix(absl::string_view list) {
  return absl::StrCat(list, " after ");
}

}  // namespace

absl::StatusOr<Page> ParsePage(absl::string_view list, int32_t page_size,
                               const std::string& token) {
  if (page_size < 0) {
    return FieldError("page_size",
                      absl::StrCat("got ", page_size, ", want 0 or more"),
                      kReasonFieldInvalid);
  }
  Page page;
  page.size = std::min(static_cast<size_t>(page_size), kMaxPageSize);
  if (page.size == 0) page.size = kMaxPageSize;
  if (token.empty()) return page;
  const std::string prefix = Prefix(list);
  std::string text;
  if (!absl::WebSafeBase64Unescape(token, &text) ||
      !absl::StartsWith(text, prefix)) {
    return FieldError("page_token",
                      absl::StrCat("not a token of the list of ", list),
                      kReasonFieldInvalid);
  }
  page.after = text.substr(prefix.size());
  return page;
}

std::string PageToken(absl::string_view list, absl::string_view last_name) {
  return absl::WebSafeBase64Escape(absl::StrCat(Prefix(list), last_name));
}

}  // namespace spanlm
