// SPDX-License-Identifier: Apache-2.0
// Early return on error, for functions that return absl::Status or StatusOr.
#pragma once

#include <utility>

#include "absl/status/status.h"

// Returns `expr`'s status from the calling function unless it is OK.
#define SPANLM_RETURN_IF_ERROR(expr)               \
  do {                                             \
    absl::Status spanlm_status = (expr);           \
    if (!spanlm_status.ok()) return spanlm_status; \
  } while (false)

#define SPANLM_CONCAT_INNER(a, b) a##b
#define SPANLM_CONCAT(a, b) SPANLM_CONCAT_INNER(a, b)

// Evaluates `expr`, a StatusOr; returns its status on error, else moves its
// value into `lhs`, which may be a declaration.
#define SPANLM_ASSIGN_OR_RETURN(lhs, expr) \
  SPANLM_ASSIGN_OR_RETURN_INNER(SPANLM_CONCAT(spanlm_or_, __LINE__), lhs, expr)
#define SPANLM_ASSIGN_OR_RETURN_INNER(result, lhs, expr) \
  auto result = (expr);                                  \
  if (!result.ok()) return std::move(result).status();   \
  lhs = *std::move(result)
