// SPDX-License-Identifier: Apache-2.0
// A model trained here scores a text the same to the last bit whether
// `spanlm-train eval-lm` reads it or a client asks the server, whatever the
// size of a step, the number of threads and the company.
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/integration/child_process.h"
#include "tests/integration/server_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

constexpr size_t kTrainBytes = 200'000;
constexpr size_t kValidBytes = 2'000;
constexpr size_t kTestBytes = 12'345;

// Real text: the prefix of enwik8 where the data are at hand, else the
// repository's own documents.
std::string RealText(size_t size) {
  const char* folder = std::getenv("SPANLM_DATA_DIR");
  const std::string data = absl::StrCat(
      folder != nullptr ? folder : SPANLM_SOURCE_DIR "/../shared/data",
      "/enwik8-prefix.xz");
  std::string text;
  if (std::filesystem::exists(data)) {
    const TempDir temp;
    const std::string command = absl::StrCat(
        "xz -dc ", data, " 2>/dev/null | head -c ", size, " >", temp.File("x"));
    if (std::system(command.c_str()) == 0) text = ReadFile(temp.File("x"));
  }
  const std::string documents = ReadFile(SPANLM_SOURCE_DIR "/docs/model.md") +
                                ReadFile(SPANLM_SOURCE_DIR "/README.md") +
                                ReadFile(SPANLM_SOURCE_DIR "/LICENSE");
  while (text.size() < size) text += documents;
  return text.substr(0, size);
}

// Clients that score and generate without end until this dies.
class Strangers {
 public:
  Strangers(const std::string& address, const std::string& text, int count) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, address, text, i] {
        while (!stop_) {
          const Outcome outcome =
              i % 2 == 0
                  ? RunProgram("spanlm", {"--address", address, "score", text})
                  : RunProgram("spanlm",
                               {"--address", address, "generate", "--prompt",
                                "The ", "--max-bytes", "200", "--seed", "1"});
          failures_ += outcome.exit_code == 0 ? 0 : 1;
          ++calls_;
        }
      });
    }
  }
  ~Strangers() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    EXPECT_EQ(failures_, 0);
    EXPECT_GE(calls_, static_cast<int>(threads_.size()));
  }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<int> calls_ = 0;
  std::atomic<int> failures_ = 0;
  std::vector<std::thread> threads_;
};

class ExactEvaluationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string raw =
        folder_.Write("raw", RealText(kTrainBytes + kValidBytes + kTestBytes));
    Train({"preprocess", "--raw", raw, "--destdir", corpus_, "--split",
           absl::StrCat(kTrainBytes, ",", kValidBytes, ",", kTestBytes)});
  }

  // Runs spanlm-train, which has to succeed; returns its stdout.
  static std::string Train(const std::vector<std::string>& arguments) {
    const Outcome outcome = RunProgram("spanlm-train", arguments);
    EXPECT_EQ(outcome.exit_code, 0) << arguments[0] << ": " << outcome.err;
    return outcome.out;
  }

  std::string EvalLm(const std::string& model, int threads, int chunk) const {
    const std::string out = Train(
        {"eval-lm", corpus_, "--path", model, "--gen-subset", "test",
         "--protocol", "full-stream", "--json", "--threads",
         absl::StrCat(threads), "--tokens-per-sample", absl::StrCat(chunk)});
    const auto json = nlohmann::json::parse(out, nullptr, false);
    EXPECT_EQ(json.value("scored", 0), static_cast<int>(kTestBytes)) << out;
    return json.value("accumulator", "none");
  }

  static std::string Evaluate(const std::string& address,
                              const std::string& shards = "1") {
    const Outcome outcome =
        RunProgram("spanlm", {"--address", address, "--json", "evaluate",
                              "test.bytes", "--shards", shards});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto json = nlohmann::json::parse(outcome.out, nullptr, false);
    EXPECT_EQ(json.value("byte_count", 0), static_cast<int>(kTestBytes));
    return json.value("accumulator", "none");
  }

  void ExpectServedAsEvaluated(const std::string& model) {
    const std::string expected = EvalLm(model, 1, 512);
    EXPECT_EQ(EvalLm(model, 2, 100), expected);

    const std::vector<std::vector<std::string>> servers = {
        {"--max-step-bytes", "512", "--threads", "1"},
        {"--max-step-bytes", "48", "--threads", "2"},
        {"--max-step-bytes", "1000", "--threads", "3"}};
    for (const std::vector<std::string>& flags : servers) {
      SCOPED_TRACE(::testing::PrintToString(flags));
      ServerProcess server(model, corpus_, flags, folder_.File("server.log"));
      ASSERT_FALSE(server.address().empty());
      EXPECT_EQ(Evaluate(server.address()), expected) << "alone";
      EXPECT_EQ(Evaluate(server.address(), "3"), expected) << "in shards";
      {
        const Strangers strangers(server.address(), corpus_ + "/valid.bytes",
                                  4);
        EXPECT_EQ(Evaluate(server.address()), expected) << "in company";
      }
      EXPECT_EQ(server.Stop(), 0);
    }
  }

  const TempDir folder_;
  const std::string corpus_ = folder_.File("corpus");
};

TEST_F(ExactEvaluationTest, AdaptiveSpanServedEqualsEvalLm) {
  const std::string runs = folder_.File("runs");
  Train({"train",
         corpus_,
         "--arch",
         "adaptive_span",
         "--n-layer",
         "2",
         "--d-model",
         "32",
         "--n-head",
         "4",
         "--d-inner",
         "64",
         "--attn-span",
         "256",
         "--adapt-span-init",
         "0.2",
         "--optimizer",
         "adagrad_with_grad_clip",
         "--lr",
         "0.07",
         "--adagrad-clip",
         "0.03",
         "--warmup-updates",
         "20",
         "--tokens-per-sample",
         "64",
         "--batch-size",
         "8",
         "--max-update",
         "300",
         "--save-dir",
         runs});

  ExpectServedAsEvaluated(runs + "/checkpoint_last");
}

TEST_F(ExactEvaluationTest, TransformerXlServedEqualsEvalLm) {
  const std::string runs = folder_.File("runs");
  const std::string model = folder_.File("model");
  Train({"train",
         corpus_,
         "--arch",
         "transformer_xl",
         "--n-layer",
         "2",
         "--d-model",
         "32",
         "--n-head",
         "4",
         "--d-inner",
         "64",
         "--mem-len",
         "64",
         "--optimizer",
         "adam",
         "--lr",
         "0.001",
         "--clip-norm",
         "0.25",
         "--tokens-per-sample",
         "64",
         "--batch-size",
         "8",
         "--max-update",
         "300",
         "--save-dir",
         runs});
  Train({"import", runs + "/checkpoint_last", model, "--set",
         "same_length=true", "--set", "mem_len=96", "--set", "clamp_len=50"});

  ExpectServedAsEvaluated(model);
}

}  // namespace
}  // namespace spanlm
