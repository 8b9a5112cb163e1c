// SPDX-License-Identifier: Apache-2.0
// The bounds of config.json's fields (docs/model-directory.md).
#pragma once

#include "absl/status/status.h"
#include "engine/model_config.h"

namespace spanlm {

// kInvalidArgument names the first field out of its bounds, its value and the
// bound. Fields of the other architecture must have their defaults.
absl::Status CheckBounds(const ModelFields& fields);

}  // namespace spanlm
