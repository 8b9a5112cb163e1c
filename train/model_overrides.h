// SPDX-License-Identifier: Apache-2.0
// The argument of --model-overrides: a Python dict literal.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace spanlm {

// Reads e.g. `{"mem_len": 2100, 'clamp_len': 820, "same_length": True}`: string
// keys in either quote, whole numbers, decimals, True, False and strings as
// values. The result holds the values as ApplySettings wants them: "2100",
// "true", the text of a string. Empty text is an empty dict. kInvalidArgument
// names the place and what was expected there, or a key that comes twice.
absl::StatusOr<std::map<std::string, std::string>> ParseModelOverrides(
    absl::string_view text);

}  // namespace spanlm
