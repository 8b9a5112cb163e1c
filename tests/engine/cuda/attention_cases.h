// SPDX-License-Identifier: Apache-2.0
// The grid of odd sizes that every attention kernel is held against.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tests/engine/cuda/attention_problem.h"

namespace spanlm {

struct AttentionCase {
  std::string name;  // PascalCase, for the test's name
  AttentionSetup setup;
};
inline void PrintTo(const AttentionCase& value, std::ostream* out) {
  *out << value.name;
}

std::vector<AttentionCase> AttentionCases();

}  // namespace spanlm
