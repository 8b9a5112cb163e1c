// SPDX-License-Identifier: Apache-2.0
// What a client's user sees of a server that Kubernetes stops.
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/child_process.h"
#include "tests/integration/server_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

constexpr int kUnavailable = 84;

TEST(ServerStopTest, AnEvaluationHearsThatItsServerIsGone) {
  const TempDir folder;
  folder.Write("text", std::string(2'000'000, 'a'));
  ServerProcess server(SPANLM_SOURCE_DIR "/models/demo", folder.path(), {},
                       folder.File("server.log"));
  ASSERT_FALSE(server.address().empty());
  const std::string err = folder.File("err");
  ASSERT_OK_AND_ASSIGN(
      const auto client,
      ChildProcess::Start("spanlm",
                          {"--address", server.address(), "evaluate", "text",
                           "--progress", "--resume", folder.File("state")},
                          err));
  while (ReadFile(err).empty()) std::this_thread::yield();

  EXPECT_EQ(server.Stop(), 0);

  EXPECT_EQ(client->Wait(), kUnavailable) << ReadFile(err);
  EXPECT_THAT(ReadFile(err), testing::HasSubstr("UNAVAILABLE"));
  EXPECT_THAT(ReadFile(folder.File("state")),
              testing::HasSubstr("resume_token"));
}

}  // namespace
}  // namespace spanlm
