// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_report.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::ordered_json;

// A limit, which has no bound, and a figure that has one.
std::vector<BenchRow> TwoRows() {
  return {{"read_b1", "GB/s", {24, 20, 22}, {}},
          {"decode_b1_fp32_uniform", "bytes/s", {90, 110, 80, 100}, {190}}};
}

TEST(BenchReportTest, TakesTheMiddleAndTheDistanceOfTheEnds) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(Spread({22, 20, 24}), 4.0 / 22);
  EXPECT_EQ(Spread({7}), 0);
}

TEST(BenchReportTest, WritesEveryKeyOfTheContractInItsOrder) {
  const Json list = Json::parse(BenchJson(TwoRows()));

  ASSERT_EQ(list.size(), 2U);
  for (const Json& row : list) {
    std::vector<std::string> keys;
    for (const auto& item : row.items()) keys.push_back(item.key());
    EXPECT_THAT(keys, testing::ElementsAre("name", "value", "unit", "bound",
                                           "fraction", "peer", "peer_name",
                                           "ratio", "rounds", "spread"));
  }
}

TEST(BenchReportTest, GivesFractionsOfTheBoundAndNullForWhatIsNotThere) {
  const Json list = Json::parse(BenchJson(TwoRows()));

  EXPECT_EQ(list[0]["name"], "read_b1");
  EXPECT_EQ(list[0]["value"], 22);
  EXPECT_EQ(list[0]["rounds"], 3);
  for (const char* key : {"bound", "fraction", "peer", "peer_name", "ratio"}) {
    EXPECT_TRUE(list[0][key].is_null()) << key;
  }
  EXPECT_EQ(list[1]["unit"], "bytes/s");
  EXPECT_EQ(list[1]["value"], 95);
  EXPECT_EQ(list[1]["bound"], 190);
  EXPECT_EQ(list[1]["fraction"], 0.5);
  EXPECT_EQ(list[1]["spread"], 30.0 / 95);
}

TEST(BenchReportTest, PrintsARowOfTheTableForEachFigure) {
  EXPECT_EQ(BenchTable(TwoRows()),
            "| what | median | unit | spread | bound | of it |\n"
            "|---|---|---|---|---|---|\n"
            "| read_b1 | 22.0 | GB/s | 18 % | | |\n"
            "| decode_b1_fp32_uniform | 95.0 | bytes/s | 32 % | 190 | 50 % "
            "|\n");
}

}  // namespace
}  // namespace spanlm
