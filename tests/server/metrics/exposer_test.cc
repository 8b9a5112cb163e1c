// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/exposer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

// What a scraper gets from 127.0.0.1:`port`; empty if it cannot connect.
std::string Get(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ==
      0) {
    const std::string request =
        "GET " + path + " HTTP/1.0\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(write(fd, request.data(), request.size()),
              static_cast<ssize_t>(request.size()));
    shutdown(fd, SHUT_WR);  // or the server lingers
    char buffer[4096];
    for (ssize_t size; (size = read(fd, buffer, sizeof(buffer))) > 0;) {
      answer.append(buffer, static_cast<size_t>(size));
    }
  }
  close(fd);
  return answer;
}

int PortOf(const Exposer& exposer) {
  return std::stoi(exposer.address().substr(exposer.address().rfind(':') + 1));
}

TEST(ExposerTest, AnswersScrapesAtTheRealPort) {
  const Metrics metrics({"1.2.3", "", "", ""});
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Exposer> exposer,
                       Exposer::Start("127.0.0.1:0", metrics));

  EXPECT_THAT(exposer->address(), testing::StartsWith("127.0.0.1:"));
  EXPECT_GT(PortOf(*exposer), 0);
  const std::string answer = Get(PortOf(*exposer), "/metrics");
  EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, testing::HasSubstr("spanlm_build_info{"));
  EXPECT_THAT(answer, testing::HasSubstr("process_cpu_seconds_total "));
}

TEST(ExposerTest, StopsWhenItDies) {
  const Metrics metrics({"", "", "", ""});
  int port = 0;
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Exposer> exposer,
                         Exposer::Start("127.0.0.1:0", metrics));
    port = PortOf(*exposer);
  }
  EXPECT_EQ(Get(port, "/metrics"), "");
}

TEST(ExposerTest, RefusesAnAddressInUse) {
  const Metrics metrics({"", "", "", ""});
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Exposer> exposer,
                       Exposer::Start("127.0.0.1:0", metrics));

  EXPECT_THAT(
      Exposer::Start(exposer->address(), metrics),
      StatusIs(absl::StatusCode::kAlreadyExists, exposer->address().c_str()));
}

TEST(ExposerTest, RefusesWhatIsNoAddress) {
  const Metrics metrics({"", "", "", ""});
  EXPECT_THAT(Exposer::Start("nowhere", metrics),
              StatusIs(absl::StatusCode::kInvalidArgument, "nowhere"));
}

}  // namespace
}  // namespace spanlm
