// SPDX-License-Identifier: Apache-2.0
#include "base/command_line.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace spanlm {
namespace {

// "max-bytes" is SPANLM_MAX_BYTES.
std::string VariableOf(const std::string& name) {
  return absl::StrCat("SPANLM_", absl::AsciiStrToUpper(
                                     absl::StrReplaceAll(name, {{"-", "_"}})));
}

// CLI11 asks the environment only for what the file did not say; so what the
// environment says is dropped from the file.
class ConfigBelowEnvironment : public CLI::ConfigTOML {
 public:
  std::vector<CLI::ConfigItem> from_config(std::istream& file) const override {
    std::vector<CLI::ConfigItem> items = CLI::ConfigTOML::from_config(file);
    const auto in_environment = [](const CLI::ConfigItem& item) {
      // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread yet
      const char* value = std::getenv(VariableOf(item.name).c_str());
      return value != nullptr && *value != '\0';
    };
    items.erase(std::remove_if(items.begin(), items.end(), in_environment),
                items.end());
    return items;
  }
};

void NameVariables(CLI::App* app) {
  for (CLI::Option* option : app->get_options()) {
    const std::vector<std::string>& names = option->get_lnames();
    if (names.empty() || names[0] == "help" || names[0] == "version") continue;
    option->envname(VariableOf(names[0]));
  }
  for (CLI::App* command : app->get_subcommands({})) NameVariables(command);
}

}  // namespace

void AddEnvironmentAndConfig(CLI::App* app) {
  app->set_config("--config", "", "A TOML or INI file of options");
  app->config_formatter(std::make_shared<ConfigBelowEnvironment>());
  app->allow_config_extras(CLI::config_extras_mode::error);
  NameVariables(app);
}

}  // namespace spanlm
