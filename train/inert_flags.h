// SPDX-License-Identifier: Apache-2.0
// Flags of fairseq's command lines that have no meaning here: accepted, so that
// those commands run unchanged, and said to be without effect.
#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace spanlm {

struct InertFlag {
  const char* name = nullptr;
  const char* reason = nullptr;  // why it has none
  bool takes_value = true;
};

// Adds them to `command`. Those given come into `*given`, "name: reason" each;
// it must outlive `command`.
void AddInertFlags(CLI::App* command, const std::vector<InertFlag>& flags,
                   std::vector<std::string>* given);

// An info line on stderr for each of them.
void ReportInertFlags(const std::vector<std::string>& given);

}  // namespace spanlm
