// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/child_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

absl::Status SystemError(const std::string& what, int error) {
  return absl::InternalError(
      absl::StrCat(what, ": ", std::generic_category().message(error)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::string& program, const std::vector<std::string>& arguments,
    const std::string& stderr_path, const std::vector<std::string>& variables) {
  const std::string path = absl::StrCat(SPANLM_BIN_DIR, "/", program);
  std::vector<std::string> words = {path};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> own = variables;
  std::vector<char*> environment;
  for (std::string& variable : own) environment.push_back(variable.data());
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.push_back(*variable);
  }
  environment.push_back(nullptr);

  std::array<int, 2> pipe_ends{};
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0)
    return SystemError("pipe", errno);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, stderr_path.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  pid_t process = 0;
  const int error = posix_spawn(&process, path.c_str(), &actions, nullptr,
                                argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  if (error != 0) {
    close(pipe_ends[0]);
    return SystemError(path, error);
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(process, pipe_ends[0]));
}

ChildProcess::~ChildProcess() {
  if (process_ != 0) {
    Signal(SIGKILL);
    Wait();
  }
  close(out_);
}

absl::StatusOr<std::string> ChildProcess::ReadLine() {
  while (true) {
    if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
      const std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    std::array<char, 4096> piece;
    const ssize_t size = read(out_, piece.data(), piece.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return absl::OutOfRangeError("stdout is closed");
    buffer_.append(piece.data(), static_cast<size_t>(size));
  }
}

std::string ChildProcess::ReadAll() {
  std::string text;
  for (auto line = ReadLine(); line.ok(); line = ReadLine()) {
    absl::StrAppend(&text, *line, "\n");
  }
  return absl::StrCat(text, buffer_);
}

void ChildProcess::Signal(int signal) { kill(process_, signal); }

int ChildProcess::Wait() {
  int status = 0;
  while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {
  }
  process_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

Outcome RunProgram(const std::string& program,
                   const std::vector<std::string>& arguments) {
  const TempDir folder;
  const std::string err = folder.File("err");
  auto process = ChildProcess::Start(program, arguments, err);
  if (!process.ok()) return {-1, "", process.status().ToString()};
  std::string out = (*process)->ReadAll();
  const int exit_code = (*process)->Wait();
  return {exit_code, std::move(out), ReadFile(err)};
}

}  // namespace spanlm
