// SPDX-License-Identifier: Apache-2.0
// A `spanlm-server` as a test runs it.
#pragma once

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/integration/child_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {

// A server on ports of its own that has said where it listens.
class ServerProcess {
 public:
  // `log` gets its stderr. A failure to start fails the test; the address is
  // then empty.
  ServerProcess(const std::string& model, const std::string& dataset_root,
                const std::vector<std::string>& flags, const std::string& log) {
    std::vector<std::string> arguments = {
        "--model",        "tiny=" + model, "--dataset-root", dataset_root,
        "--listen",       "127.0.0.1:0",   "--drain-delay",  "0",
        "--admin-listen", "127.0.0.1:0"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    auto process = ChildProcess::Start("spanlm-server", arguments, log);
    EXPECT_OK(process);
    if (!process.ok()) return;
    process_ = *std::move(process);
    const auto line = process_->ReadLine();
    EXPECT_TRUE(line.ok()) << ReadFile(log);
    if (!line.ok()) return;
    address_ = nlohmann::json::parse(*line)["listen"];
  }

  const std::string& address() const { return address_; }
  // SIGTERM; the exit code.
  int Stop() {
    process_->Signal(SIGTERM);
    return process_->Wait();
  }

 private:
  std::unique_ptr<ChildProcess> process_;
  std::string address_;
};

}  // namespace spanlm
