// SPDX-License-Identifier: Apache-2.0
// Runs of a trainer over a small random corpus, and what they leave behind.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/train/tiny_run.h"
#include "train/trainer.h"

namespace spanlm {

class TrainerTest : public testing::Test {
 protected:
  std::string Random() const {
    return WriteCorpus(folder_, RandomText(400, 1), RandomText(100, 2));
  }
  std::string SaveDir() const { return folder_.File("run"); }
  std::vector<std::string> Tags() const {
    std::vector<std::string> tags;
    for (const nlohmann::json& line : LogLines(SaveDir(), "")) {
      tags.push_back(line["tag"]);
    }
    return tags;
  }
  std::vector<std::string> Folders() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(SaveDir())) {
      if (entry.is_directory()) names.push_back(entry.path().filename());
    }
    return names;
  }

  const TempDir folder_;
  std::atomic<bool> stop_{false};
  const std::unique_ptr<ProcessGroup> group_ = ProcessGroup::Alone();
};

}  // namespace spanlm
