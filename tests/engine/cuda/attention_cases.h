// SPDX-License-Identifier: Apache-2.0
// The grid of odd sizes that every attention kernel is held against.
#pragma once

#include <string>
#include <vector>

#include "tests/engine/cuda/attention_problem.h"

namespace spanlm {

struct AttentionCase {
  std::string name;  // PascalCase, for the test's name
  AttentionSetup setup;
};

std::vector<AttentionCase> AttentionCases();

}  // namespace spanlm
