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

// Whether `app`, or the subcommand of the item's section, has the option.
bool Knows(const CLI::App* app, const CLI::ConfigItem& item) {
  if (item.name == "++" || item.name == "--") return true;  // a section's ends
  for (const std::string& section : item.parents) {
    const std::vector<const CLI::App*> found = app->get_subcommands(
        [&](const CLI::App* command) { return command->check_name(section); });
    if (found.empty()) return false;
    app = found.front();
  }
  return app->get_option_no_throw(absl::StrCat("--", item.name)) != nullptr;
}

// CLI11 asks the environment only for what the file did not say; so what the
// environment says is dropped from the file.
class ConfigBelowEnvironment : public CLI::ConfigTOML {
 public:
  explicit ConfigBelowEnvironment(const CLI::App* app) : app_(app) {}

  std::vector<CLI::ConfigItem> from_config(std::istream& file) const override {
    std::vector<CLI::ConfigItem> items = CLI::ConfigTOML::from_config(file);
    for (const CLI::ConfigItem& item : items) {
      if (Knows(app_, item)) continue;
      throw CLI::ConfigError(absl::StrCat(
          "--config: the file sets ", item.fullname(), ", which is no option"));
    }
    const auto in_environment = [](const CLI::ConfigItem& item) {
      // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread yet
      const char* value = std::getenv(VariableOf(item.name).c_str());
      return value != nullptr && *value != '\0';
    };
    items.erase(std::remove_if(items.begin(), items.end(), in_environment),
                items.end());
    return items;
  }

 private:
  const CLI::App* const app_;
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
  // CLI11 asks the environment only after the file. As the default a file is
  // read if it can be, so a named one is made a must.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread yet
  const char* variable = std::getenv("SPANLM_CONFIG");
  const std::string file = variable == nullptr ? "" : variable;
  app->set_config("--config", file, "A TOML or INI file of options",
                  /*config_required=*/!file.empty());
  app->config_formatter(std::make_shared<ConfigBelowEnvironment>(app));
  NameVariables(app);
}

std::string DescribeUsageError(const CLI::App& app,
                               const CLI::ParseError& error) {
  const std::vector<std::string> rest = app.remaining();
  if (!app.get_subcommands().empty() || rest.empty()) return error.what();
  return absl::StrCat("no such command: ", rest.front());
}

}  // namespace spanlm
