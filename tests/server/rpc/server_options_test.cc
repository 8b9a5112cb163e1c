// SPDX-License-Identifier: Apache-2.0
#include "server/server_options.h"

#include <limits>

#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using absl::StatusCode;

ServerOptions Valid() {
  ServerOptions options;
  options.models = {{"demo", "models/demo"}};
  return options;
}

TEST(ServerOptionsTest, DefaultsAreValidWithAModel) {
  EXPECT_OK(Check(Valid()));
  EXPECT_THAT(Check(ServerOptions()),
              StatusIs(StatusCode::kInvalidArgument, "--model"));
}

TEST(ServerOptionsTest, PlaintextBeyondLoopbackMustBeAskedFor) {
  ServerOptions options = Valid();
  options.listen = "0.0.0.0:50051";
  EXPECT_THAT(Check(options),
              StatusIs(StatusCode::kInvalidArgument, "--insecure"));
  options.insecure = true;
  EXPECT_OK(Check(options));

  options = Valid();
  options.admin_listen = "[::]:50052";
  EXPECT_THAT(Check(options),
              StatusIs(StatusCode::kInvalidArgument, "--admin-listen"));

  options = Valid();
  options.health_listen = "0.0.0.0:50053";
  options.metrics_listen = "0.0.0.0:9464";
  EXPECT_OK(Check(options));
}

TEST(ServerOptionsTest, NamesTheFlagAndTheBound) {
  ServerOptions options = Valid();
  options.max_step_bytes = 0;
  EXPECT_THAT(Check(options), StatusIs(StatusCode::kInvalidArgument,
                                       "--max-step-bytes: 0, want 2"));
  options = Valid();
  options.default_model = "other";
  EXPECT_THAT(Check(options),
              StatusIs(StatusCode::kInvalidArgument, "--default-model: other"));
  options = Valid();
  options.models.push_back(options.models[0]);
  EXPECT_THAT(Check(options),
              StatusIs(StatusCode::kInvalidArgument, "demo is given twice"));
  options = Valid();
  options.step_deadline = absl::ZeroDuration();
  EXPECT_THAT(Check(options),
              StatusIs(StatusCode::kInvalidArgument, "--step-deadline"));
}

TEST(ServerOptionsTest, RefusesFormatsAndDevicesThatNoServerHas) {
  ServerOptions options = Valid();
  options.engine.weights = "fp7";
  EXPECT_THAT(Check(options),
              StatusIs(StatusCode::kInvalidArgument, "--weights: fp7"));
  options = Valid();
  options.engine.kv = "zz";
  EXPECT_THAT(Check(options),
              StatusIs(StatusCode::kInvalidArgument, "--kv: zz"));
  options = Valid();
  for (const char* bad : {"tpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", ""}) {
    options.engine.device = bad;
    EXPECT_THAT(Check(options),
                StatusIs(StatusCode::kInvalidArgument, "--device"))
        << bad;
  }
  for (const char* good : {"cpu", "cuda", "cuda:1"}) {
    options.engine.device = good;
    EXPECT_OK(Check(options));
  }
}

TEST(ServerOptionsTest, RefusesMoreMemoryThanBytesCanSay) {
  EXPECT_EQ(MebibytesToBytes(3), 3 << 20);
  for (const int64_t bad :
       {std::numeric_limits<int64_t>::max(),
        std::numeric_limits<int64_t>::min(), int64_t{1} << 44}) {
    ServerOptions options = Valid();
    options.engine.state_budget_bytes = MebibytesToBytes(bad);
    EXPECT_THAT(Check(options),
                StatusIs(StatusCode::kInvalidArgument, "--session-budget-mib"));
  }
}

TEST(ServerOptionsTest, KeepsTheNamesOfTheServersHealth) {
  for (const char* taken : {"live", "ready"}) {
    ServerOptions options = Valid();
    options.models[0].name = taken;
    EXPECT_THAT(Check(options), StatusIs(StatusCode::kInvalidArgument, taken));
  }
}

TEST(ServerOptionsTest, ParsesModels) {
  ASSERT_OK_AND_ASSIGN(ModelSpec named, ParseModelSpec("a=/x/y", "/models"));
  EXPECT_EQ(named.name, "a");
  EXPECT_EQ(named.dir, "/x/y");
  ASSERT_OK_AND_ASSIGN(ModelSpec bare, ParseModelSpec("x/demo/", ""));
  EXPECT_EQ(bare.name, "demo");
  ASSERT_OK_AND_ASSIGN(ModelSpec below, ParseModelSpec("b=y", "/models"));
  EXPECT_EQ(below.dir, "/models/y");
  for (const char* bad : {"", "=x", "a=", "A=x", "1a=x", "a_b=x", "..", "/"}) {
    EXPECT_THAT(ParseModelSpec(bad, ""),
                StatusIs(StatusCode::kInvalidArgument, "--model"))
        << bad;
  }
}

TEST(ServerOptionsTest, ModelNamesHaveAnAlphabetAndALength) {
  EXPECT_TRUE(IsModelName("a"));
  EXPECT_TRUE(IsModelName("a" + std::string(62, '0')));
  EXPECT_FALSE(IsModelName("a" + std::string(63, '0')));
  EXPECT_FALSE(IsModelName(std::string("a\0", 2)));
}

TEST(ServerOptionsTest, ParsesAddresses) {
  ASSERT_OK_AND_ASSIGN(HostPort ipv6, ParseAddress("[::1]:80"));
  EXPECT_EQ(ipv6.host, "::1");
  EXPECT_EQ(ipv6.port, 80);
  for (const char* bad : {"", "host", ":1", "host:", "host:-1", "host:65536",
                          "::1:80", "[h]:1"}) {
    EXPECT_THAT(ParseAddress(bad),
                StatusIs(StatusCode::kInvalidArgument, "want HOST:PORT"))
        << bad;
  }
  EXPECT_TRUE(IsLoopback("127.8.9.1"));
  EXPECT_TRUE(IsLoopback("localhost"));
  EXPECT_FALSE(IsLoopback("127.evil.com.x"));
  EXPECT_FALSE(IsLoopback("10.0.0.1"));
}

}  // namespace
}  // namespace spanlm
