// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/export/pickle_writer.h"

#include <limits>
#include <string>
#include <vector>

#include "engine/checkpoint/import/pickle.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::ElementsAre;

// What the restricted unpickler reads of it.
Pickle Reread(const PickleValue& value) {
  absl::StatusOr<Pickle> pickle = Pickle::Parse(WritePickle(value));
  EXPECT_OK(pickle);
  return *std::move(pickle);
}

TEST(PickleWriterTest, IsProtocolTwo) {
  EXPECT_EQ(WritePickle(PickleValue::None()), "\x80\x02N.");
}

TEST(PickleWriterTest, WritesIntegersOfEverySize) {
  for (const int64_t value :
       {int64_t{0}, int64_t{-1}, int64_t{255}, int64_t{65536},
        int64_t{std::numeric_limits<int32_t>::max()},
        int64_t{std::numeric_limits<int32_t>::min()}, int64_t{1} << 31,
        -(int64_t{1} << 31) - 1, std::numeric_limits<int64_t>::max(),
        std::numeric_limits<int64_t>::min()}) {
    const Pickle pickle = Reread(PickleValue::Int(value));

    EXPECT_EQ(pickle.root().kind, PickleKind::kInt) << value;
    EXPECT_EQ(pickle.root().integer, value);
  }
}

TEST(PickleWriterTest, WritesFloatsBitByBit) {
  for (const double value :
       {0.0, -1.5, 1e-10, 0.07, std::numeric_limits<double>::max(),
        std::numeric_limits<double>::infinity()}) {
    const Pickle pickle = Reread(PickleValue::Float(value));

    EXPECT_EQ(pickle.root().kind, PickleKind::kFloat);
    EXPECT_EQ(pickle.root().real, value);
  }
}

TEST(PickleWriterTest, WritesContainersWithinContainers) {
  const PickleValue value = PickleValue::Dict(
      {Named("list", PickleValue::List(
                         {PickleValue::Bool(true), PickleValue::Text("é")})),
       Named("tuple", PickleValue::Tuple({PickleValue::Int(7)})),
       Named("empty", PickleValue::List({}))});

  const Pickle pickle = Reread(value);

  const PickleNode* list = pickle.Find(pickle.root(), "list");
  ASSERT_NE(list, nullptr);
  ASSERT_EQ(list->items.size(), 2U);
  EXPECT_EQ(pickle.node(list->items[0]).kind, PickleKind::kBool);
  EXPECT_EQ(pickle.node(list->items[1]).text, "é");
  const PickleNode* tuple = pickle.Find(pickle.root(), "tuple");
  ASSERT_NE(tuple, nullptr);
  EXPECT_EQ(tuple->kind, PickleKind::kTuple);
  const PickleNode* empty = pickle.Find(pickle.root(), "empty");
  ASSERT_NE(empty, nullptr);
  EXPECT_EQ(empty->kind, PickleKind::kList);
  EXPECT_TRUE(empty->items.empty());
}

TEST(PickleWriterTest, WritesTensorsInCOrder) {
  const Pickle pickle = Reread(PickleValue::OrderedDict(
      {Named("w", PickleValue::Tensor("3", {2, 3, 4}))}));

  const PickleNode* tensor = pickle.Find(pickle.root(), "w");
  ASSERT_NE(tensor, nullptr);
  ASSERT_EQ(tensor->kind, PickleKind::kTensor);
  EXPECT_THAT(pickle.tensor(*tensor).shape, ElementsAre(2, 3, 4));
  EXPECT_THAT(pickle.tensor(*tensor).strides, ElementsAre(12, 4, 1));
  EXPECT_EQ(pickle.storage(pickle.tensor(*tensor)).key, "3");
  EXPECT_EQ(pickle.storage(pickle.tensor(*tensor)).count, 24);
  EXPECT_EQ(pickle.storage(pickle.tensor(*tensor)).dtype, DType::kF32);
}

}  // namespace
}  // namespace spanlm
