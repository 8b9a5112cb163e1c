// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/small_run.h"

#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/integration/child_process.h"

namespace spanlm {

std::string SmallRun::MakeCorpus() const {
  std::string text;
  for (int i = 0; i < 6000; ++i) text += static_cast<char>(i * i % 251);
  const std::string raw = folder_.Write("raw", text);
  const std::string corpus = folder_.File("corpus");
  const Outcome outcome =
      RunProgram("spanlm-train", {"preprocess", "--raw", raw, "--destdir",
                                  corpus, "--split", "5600,200,200"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return corpus;
}

std::vector<std::string> SmallRun::Arguments(const std::string& save_dir,
                                             int max_update) const {
  return {"train",
          corpus_,
          "--save-dir",
          folder_.File(save_dir),
          "--n-layer",
          "1",
          "--d-model",
          "16",
          "--n-head",
          "2",
          "--d-inner",
          "16",
          "--attn-span",
          "64",
          "--dropout",
          "0.1",
          "--batch-size",
          "2",
          "--tokens-per-sample",
          "16",
          "--log-interval",
          "1",
          "--threads",
          "1",
          "--lr-scheduler",
          "fixed",
          "--max-update",
          absl::StrCat(max_update)};
}

std::string SmallRun::Digest(const std::string& save_dir) const {
  const Outcome outcome = RunProgram(
      "spanlm-train", {"inspect", folder_.File(save_dir + "/checkpoint_last")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) {
    if (absl::StrContains(line, "digest")) return line;
  }
  ADD_FAILURE() << "no digest in " << outcome.out;
  return "";
}

int64_t SmallRun::SavedUpdate(const std::string& save_dir) const {
  return nlohmann::json::parse(ReadFile(
      folder_.File(save_dir + "/checkpoint_last/training.json")))["update"];
}

}  // namespace spanlm
