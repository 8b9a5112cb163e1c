// SPDX-License-Identifier: Apache-2.0
#include "train/inert_flags.h"

#include <iostream>

#include "absl/strings/str_cat.h"

namespace spanlm {

void AddInertFlags(CLI::App* command, const std::vector<InertFlag>& flags,
                   std::vector<std::string>* given) {
  for (const InertFlag& flag : flags) {
    const std::string line = absl::StrCat(flag.name, ": ", flag.reason);
    CLI::Option* const option =
        flag.takes_value
            ? command->add_option_function<std::string>(
                  flag.name,
                  [given, line](const std::string&) { given->push_back(line); },
                  flag.reason)
            : command->add_flag_callback(
                  flag.name, [given, line] { given->push_back(line); },
                  flag.reason);
    option->group("Accepted without effect");
  }
}

void ReportInertFlags(const std::vector<std::string>& given) {
  for (const std::string& line : given) {
    std::cerr << "info: without effect: " << line << "\n";
  }
}

}  // namespace spanlm
