// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoints.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace spanlm {
namespace {

namespace fs = std::filesystem;

absl::Status IoError(const fs::path& path, const std::error_code& error) {
  return absl::UnavailableError(
      absl::StrCat(path.string(), ": ", error.message()));
}

// The number of a checkpoint's name; nothing for another name.
using NumberOf = std::function<std::optional<int64_t>(absl::string_view)>;

std::optional<int64_t> EpochOf(absl::string_view name) {
  int64_t epoch = 0;
  if (!absl::ConsumePrefix(&name, "checkpoint") ||
      !absl::SimpleAtoi(name, &epoch)) {
    return std::nullopt;
  }
  return epoch;
}

std::optional<int64_t> UpdateOf(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, "checkpoint_")) return std::nullopt;
  const size_t separator = name.find('_');
  int64_t epoch = 0, update = 0;
  if (separator == absl::string_view::npos ||
      !absl::SimpleAtoi(name.substr(0, separator), &epoch) ||
      !absl::SimpleAtoi(name.substr(separator + 1), &update)) {
    return std::nullopt;
  }
  return update;
}

absl::Status KeepLast(const std::string& save_dir, int32_t keep,
                      const NumberOf& number_of) {
  if (keep <= 0) return absl::OkStatus();
  std::error_code error;
  std::vector<std::pair<int64_t, fs::path>> found;
  for (fs::directory_iterator entry(save_dir, error);
       !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const auto number = number_of(entry->path().filename().string());
    if (number.has_value()) found.emplace_back(*number, entry->path());
  }
  if (error) return IoError(save_dir, error);
  std::sort(found.begin(), found.end());
  for (size_t i = 0; i + static_cast<size_t>(keep) < found.size(); ++i) {
    fs::remove_all(found[i].second, error);
    if (error) return IoError(found[i].second, error);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status KeepLastEpochs(const std::string& save_dir, int32_t keep) {
  return KeepLast(save_dir, keep, EpochOf);
}

absl::Status KeepLastUpdates(const std::string& save_dir, int32_t keep) {
  return KeepLast(save_dir, keep, UpdateOf);
}

std::string FindCheckpoint(const std::string& save_dir,
                           const std::string& name) {
  const std::string folder(absl::StripSuffix(name, ".pt"));
  if (folder.empty()) return "";
  for (const std::string& path :
       {absl::StrCat(save_dir, "/", folder), folder}) {
    std::error_code error;
    if (fs::is_directory(path, error)) return path;
  }
  return "";
}

}  // namespace spanlm
