// SPDX-License-Identifier: Apache-2.0
// Pages of the lists that calls return.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace spanlm {

// A page of a list whose entries have names in rising order.
struct Page {
  size_t size = 0;
  std::string after;  // the last name of the page before; empty: the first page
};

// kInvalidArgument names page_size or page_token. `list` is what the list is
// of: a token of another one is refused.
absl::StatusOr<Page> ParsePage(absl::string_view list, int32_t page_size,
                               const std::string& token);

// The token of the page after the one that ends with `last_name`.
std::string PageToken(absl::string_view list, absl::string_view last_name);

}  // namespace spanlm
