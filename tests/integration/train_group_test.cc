// SPDX-License-Identifier: Apache-2.0
// `spanlm-train train` as torchrun starts it: several processes that learn as
// one, over gloo on this machine.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/integration/child_process.h"
#include "tests/integration/small_run.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using ::testing::HasSubstr;

constexpr int kFailed = 70;

// A port of this machine's that was free just now.
int FreePort() {
  const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(socket_fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(
      getsockname(socket_fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(socket_fd);
  return ntohs(address.sin_port);
}

class TrainGroupTest : public ::testing::Test {
 protected:
  using Processes = std::vector<std::unique_ptr<ChildProcess>>;

  // Eight rows in all, without dropout, which depends on who reads a row.
  Processes Start(int size, const std::string& save_dir, int max_update,
                  const std::vector<std::string>& more_variables = {}) {
    const std::string port = absl::StrCat("MASTER_PORT=", FreePort());
    Processes processes;
    for (int rank = 0; rank < size; ++rank) {
      std::vector<std::string> arguments = run_.Arguments(save_dir, max_update);
      for (std::string more :
           {std::string("--batch-size"), absl::StrCat(8 / size),
            std::string("--dropout"), std::string("0")}) {
        arguments.push_back(std::move(more));
      }
      std::vector<std::string> variables = {absl::StrCat("RANK=", rank),
                                            absl::StrCat("WORLD_SIZE=", size),
                                            "MASTER_ADDR=127.0.0.1", port};
      variables.insert(variables.end(), more_variables.begin(),
                       more_variables.end());
      absl::StatusOr<std::unique_ptr<ChildProcess>> process =
          ChildProcess::Start("spanlm-train", arguments, Err(save_dir, rank),
                              variables);
      EXPECT_OK(process);
      if (process.ok()) processes.push_back(*std::move(process));
    }
    return processes;
  }
  std::string Err(const std::string& save_dir, int rank) const {
    return run_.File(absl::StrCat(save_dir, ".err", rank));
  }
  SmallRun run_;
};

TEST_F(TrainGroupTest, SeveralProcessesLearnAsOne) {
  constexpr int kUpdates = 20;
  for (const int size : {1, 2, 4}) {
    const std::string save_dir = absl::StrCat("group", size);
    const Processes processes = Start(size, save_dir, kUpdates);
    for (int rank = 0; rank < size; ++rank) {
      const std::string out = processes[rank]->ReadAll();
      ASSERT_EQ(processes[rank]->Wait(), 0) << ReadFile(Err(save_dir, rank));
      EXPECT_EQ(absl::StrContains(out, "train_inner"), rank == 0)
          << "the first one logs";
    }
    EXPECT_EQ(run_.SavedUpdate(save_dir), kUpdates);
  }
  const auto losses = [&](const std::string& save_dir) {
    std::vector<double> found;
    std::istringstream lines(ReadFile(run_.File(save_dir + "/train.jsonl")));
    for (std::string line; std::getline(lines, line);) {
      const nlohmann::json json = nlohmann::json::parse(line);
      if (json["tag"] != "train_inner") continue;
      found.push_back(std::stod(json["bits_per_byte"].get<std::string>()));
    }
    return found;
  };
  // Four decimals are logged: one may round another way.
  EXPECT_EQ(losses("group1").size(), kUpdates);
  const auto one =
      testing::Pointwise(testing::DoubleNear(1.1e-4), losses("group1"));
  EXPECT_THAT(losses("group2"), one);
  EXPECT_THAT(losses("group4"), one);
  const auto best = [&](const std::string& save_dir) {
    return nlohmann::json::parse(ReadFile(
        run_.File(save_dir + "/checkpoint_last/training.json")))["best_loss"]
        .get<double>();
  };
  EXPECT_NEAR(best("group2"), best("group1"), 2e-6);
  EXPECT_NEAR(best("group4"), best("group1"), 2e-6);
}

// A run goes on with as many rows, however many processes share them.
TEST_F(TrainGroupTest, AnotherNumberOfProcessesGoesOn) {
  for (const auto& [size, until] : {std::pair(2, 4), {1, 8}}) {
    const Processes processes = Start(size, "changed", until);
    for (int rank = 0; rank < size; ++rank) {
      processes[rank]->ReadAll();
      ASSERT_EQ(processes[rank]->Wait(), 0) << ReadFile(Err("changed", rank));
    }
  }
  EXPECT_EQ(run_.SavedUpdate("changed"), 8);
}

TEST_F(TrainGroupTest, ALostProcessEndsTheOthersAndTheCheckpointStays) {
  constexpr int kSaved = 2;
  for (const auto& process : Start(2, "lost", kSaved)) {
    process->ReadAll();
    ASSERT_EQ(process->Wait(), 0);
  }
  const Processes processes = Start(2, "lost", 1000000);
  for (int updates = 0; updates < 3;) {
    ASSERT_OK_AND_ASSIGN(const std::string line, processes[0]->ReadLine());
    if (absl::StrContains(line, "train_inner")) ++updates;
  }
  processes[1]->Signal(SIGKILL);
  processes[0]->ReadAll();

  EXPECT_EQ(processes[0]->Wait(), kFailed);
  EXPECT_THAT(ReadFile(Err("lost", 0)),
              HasSubstr("process 0 of 2 lost another one"));
  EXPECT_EQ(run_.SavedUpdate("lost"), kSaved);
}

TEST_F(TrainGroupTest, SigtermToOneStopsAllOfThemAfterSaving) {
  const Processes processes = Start(2, "stopped", 1000000);
  for (int updates = 0; updates < 3;) {
    ASSERT_OK_AND_ASSIGN(const std::string line, processes[0]->ReadLine());
    if (absl::StrContains(line, "train_inner")) ++updates;
  }
  processes[1]->Signal(SIGTERM);
  processes[0]->ReadAll();

  EXPECT_EQ(processes[0]->Wait(), 75) << ReadFile(Err("stopped", 0));
  EXPECT_EQ(processes[1]->Wait(), 75) << ReadFile(Err("stopped", 1));
  EXPECT_GE(run_.SavedUpdate("stopped"), 3);
}

TEST_F(TrainGroupTest, MeetsOverTheInterfaceThatIsNamed) {
  const auto processes = Start(2, "named", 2, {"GLOO_SOCKET_IFNAME=lo"});
  for (const auto& process : processes) process->ReadAll();
  EXPECT_EQ(processes[0]->Wait(), 0) << ReadFile(Err("named", 0));
  EXPECT_EQ(processes[1]->Wait(), 0) << ReadFile(Err("named", 1));
}

TEST(TrainGroupProgramTest, NamesAVariableThatIsWrong) {
  const SmallRun run;
  const std::pair<const char*, const char*> wrong[] = {
      {"RANK=2", "RANK is \"2\", want 0 to 1"},
      {"GLOO_SOCKET_IFNAME=nosuch0", "GLOO_SOCKET_IFNAME is \"nosuch0\""}};
  for (const auto& [variable, message] : wrong) {
    ASSERT_OK_AND_ASSIGN(
        const auto process,
        ChildProcess::Start("spanlm-train", run.Arguments("run", 1),
                            run.File("err"),
                            {variable, "WORLD_SIZE=2", "RANK=1",
                             "MASTER_ADDR=127.0.0.1", "MASTER_PORT=1"}));
    process->ReadAll();
    EXPECT_EQ(process->Wait(), 64);
    EXPECT_THAT(ReadFile(run.File("err")), HasSubstr(message));
  }
}

}  // namespace
}  // namespace spanlm
