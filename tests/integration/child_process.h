// SPDX-License-Identifier: Apache-2.0
// A program of ours as a test runs it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace spanlm {

// A running program; killed, if it still runs, when this dies. One thread at a
// time.
class ChildProcess {
 public:
  // Starts SPANLM_BIN_DIR/`program`; its stdout is read by this object, its
  // stderr goes to `stderr_path`. `variables` ("NAME=value") come before the
  // test's own environment.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::string& program, const std::vector<std::string>& arguments,
      const std::string& stderr_path,
      const std::vector<std::string>& variables = {});
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // The next line of its stdout, without its end; kOutOfRange when it closed
  // stdout before.
  absl::StatusOr<std::string> ReadLine();
  // The rest of its stdout.
  std::string ReadAll();
  void Signal(int signal);
  // Its exit code once it has ended, or −signal.
  int Wait();

 private:
  ChildProcess(pid_t process, int out) : process_(process), out_(out) {}

  pid_t process_;  // 0: has ended
  const int out_;
  std::string buffer_;
};

struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

// Runs the program to its end.
Outcome RunProgram(const std::string& program,
                   const std::vector<std::string>& arguments);

}  // namespace spanlm
