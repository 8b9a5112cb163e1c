// SPDX-License-Identifier: Apache-2.0
#include "train/command_line.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

constexpr char kConfigFlag[] = "config";

std::string EnvironmentName(const std::string& flag) {
  return absl::StrCat("SPANLM_", absl::AsciiStrToUpper(
                                     absl::StrReplaceAll(flag, {{"-", "_"}})));
}

std::optional<std::string> FromEnvironment(const std::string& flag) {
  const char* value = std::getenv(EnvironmentName(flag).c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

// The value of `--flag value` or `--flag=value`, if it is there.
std::optional<std::string> FromArguments(
    const std::vector<std::string>& arguments, const std::string& flag) {
  const std::string name = absl::StrCat("--", flag);
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == name) {
      return i + 1 < arguments.size() ? arguments[i + 1] : "";
    }
    if (absl::StartsWith(arguments[i], absl::StrCat(name, "="))) {
      return arguments[i].substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

const CLI::App* FindCommand(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command :
       app.get_subcommands(std::function<bool(const CLI::App*)>())) {
    if (command->check_name(name)) return command;
  }
  return nullptr;
}

std::vector<std::string> FlagNames(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  }
  return names;
}

// Flag to its values, from the keys at the top of `path` and those of the
// command's own section.
absl::StatusOr<std::map<std::string, std::vector<std::string>>> ReadConfig(
    const std::string& path, const CLI::App& command) {
  std::map<std::string, std::vector<std::string>> values;
  if (path.empty()) return values;
  // CLI11's own reading of a file throws.
  std::error_code error;
  std::ifstream file(path);
  if (!std::filesystem::is_regular_file(path, error) || !file) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file (--config)"));
  }
  const std::vector<std::string> known = FlagNames(command);
  for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(file)) {
    const bool is_marker = item.name == "++" || item.name == "--";
    const bool is_ours =
        item.parents.empty() || item.parents.front() == command.get_name();
    if (is_marker || !is_ours) continue;
    if (std::find(known.begin(), known.end(), item.name) == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": ", item.name, " is not a flag of ", command.get_name(),
          "; the nearest is ", NearestFlag(command, item.name)));
    }
    values[item.name] = item.inputs;
  }
  return values;
}

}  // namespace

void AddConfigFlags(CLI::App* app) {
  std::vector<CLI::App*> commands = app->get_subcommands({});
  commands.push_back(app);  // before the command's name it means the same
  for (CLI::App* command : commands) {
    command->add_option(absl::StrCat("--", kConfigFlag))
        ->type_name("FILE")
        ->description("file of `flag = value` lines (TOML or INI)");
  }
}

absl::StatusOr<std::vector<std::string>> ExpandArguments(
    CLI::App& app, std::vector<std::string> arguments) {
  const CLI::App* command = nullptr;
  size_t place = 0;
  for (; place < arguments.size() && command == nullptr; ++place) {
    command = FindCommand(app, arguments[place]);
  }
  if (command == nullptr) return arguments;

  const std::optional<std::string> file =
      FromArguments(arguments, kConfigFlag).has_value()
          ? FromArguments(arguments, kConfigFlag)
          : FromEnvironment(kConfigFlag);
  SPANLM_ASSIGN_OR_RETURN(auto configured,
                          ReadConfig(file.value_or(""), *command));
  std::vector<std::string> added;
  for (const std::string& flag : FlagNames(*command)) {
    if (flag == kConfigFlag || flag == "help") continue;
    if (FromArguments(arguments, flag).has_value()) continue;
    if (const auto value = FromEnvironment(flag); value.has_value()) {
      added.push_back(absl::StrCat("--", flag, "=", *value));
      continue;
    }
    for (const std::string& value : configured[flag]) {
      added.push_back(absl::StrCat("--", flag, "=", value));
    }
  }
  arguments.insert(arguments.begin() + static_cast<ptrdiff_t>(place),
                   std::make_move_iterator(added.begin()),
                   std::make_move_iterator(added.end()));
  return arguments;
}

namespace {

// Levenshtein's distance.
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

}  // namespace

std::string NearestFlag(const CLI::App& command, const std::string& flag) {
  const std::string bare =
      flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
  const std::string name = bare.substr(0, bare.find('='));
  std::string best;
  size_t best_distance = 0;
  for (const std::string& known : FlagNames(command)) {
    const size_t distance = EditDistance(name, known);
    if (best.empty() || distance < best_distance) {
      best = absl::StrCat("--", known);
      best_distance = distance;
    }
  }
  return best;
}

std::vector<std::string> Suggestions(const CLI::App& app) {
  std::vector<std::string> lines;
  for (const CLI::App* command : app.get_subcommands()) {
    for (const std::string& extra : command->remaining()) {
      if (!absl::StartsWith(extra, "-")) continue;
      lines.push_back(absl::StrCat(
          "did you mean ", NearestFlag(*command, extra), " for ", extra, "?"));
    }
  }
  return lines;
}

}  // namespace spanlm
