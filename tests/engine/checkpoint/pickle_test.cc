// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/pickle.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/checkpoint/pickle_text.h"
#include "tests/support/peak_memory.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::ElementsAre;
namespace text = pickle_text;

// The value that `opcodes` push; they need no header.
Pickle Parsed(const std::string& opcodes) {
  absl::StatusOr<Pickle> pickle = Pickle::Parse(opcodes + ".");
  EXPECT_OK(pickle);
  return pickle.ok() ? *std::move(pickle) : *Pickle::Parse("N.");
}

TEST(PickleTest, ReadsWholeNumbersOfEveryForm) {
  const std::pair<std::string, int64_t> cases[] = {
      {std::string("K\xff", 2), 255},
      {std::string("M\x01\x02", 3), 0x201},
      {std::string("J\xfe\xff\xff\xff", 5), -2},
      {"I-17\n", -17},
      {"L123456789012L\n", 123456789012},
      {std::string("\x8a\x00", 2), 0},
      {std::string("\x8a\x01\xff", 3), -1},
      {std::string("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", 10), INT64_MAX},
      {std::string("\x8b\x02\x00\x00\x00\x00\x80", 7), -32768}};
  for (const auto& [opcodes, value] : cases) {
    const Pickle pickle = Parsed(opcodes);

    EXPECT_EQ(pickle.root().kind, PickleKind::kInt);
    EXPECT_EQ(pickle.root().integer, value);
  }
}

TEST(PickleTest, KeepsNumbersBeyond64BitsAsBytes) {
  const Pickle pickle = Parsed(
      "\x8a\x0a"
      "0123456789");

  EXPECT_EQ(pickle.root().kind, PickleKind::kLong);
  EXPECT_EQ(pickle.root().text, "0123456789");
}

TEST(PickleTest, ReadsConstantsAndFloats) {
  EXPECT_EQ(Parsed("N").root().kind, PickleKind::kNone);
  for (const char* yes : {"\x88", "I01\n"}) {
    EXPECT_EQ(Parsed(yes).root().kind, PickleKind::kBool);
    EXPECT_EQ(Parsed(yes).root().integer, 1);
  }
  EXPECT_EQ(Parsed("I00\n").root().integer, 0);
  EXPECT_EQ(Parsed(std::string("G\xc0\x04\0\0\0\0\0\0", 9)).root().real, -2.5);
  EXPECT_EQ(Parsed("F0.125\n").root().real, 0.125);
}

TEST(PickleTest, ReadsTextAndBytesOfEveryForm) {
  const std::string size8("\x03\0\0\0\0\0\0\0", 8);
  const std::string cases[] = {std::string("U\x03") + "abc",
                               std::string("T\x03\0\0\0", 5) + "abc",
                               std::string("X\x03\0\0\0", 5) + "abc",
                               std::string("\x8c\x03") + "abc",
                               "\x8d" + size8 + "abc",
                               "S'abc'\n",
                               "S\"a\\x62c\"\n",
                               "Vabc\n"};
  for (const std::string& opcodes : cases) {
    EXPECT_EQ(Parsed(opcodes).root().kind, PickleKind::kString);
    EXPECT_EQ(Parsed(opcodes).root().text, "abc");
  }
  for (const std::string& opcodes :
       {std::string("C\x03") + "abc", std::string("B\x03\0\0\0", 5) + "abc",
        "\x8e" + size8 + "abc", "\x96" + size8 + "abc"}) {
    EXPECT_EQ(Parsed(opcodes).root().kind, PickleKind::kBytes);
    EXPECT_EQ(Parsed(opcodes).root().text, "abc");
  }
}

// The numbers in a container, in order.
std::vector<int64_t> Numbers(const Pickle& pickle) {
  std::vector<int64_t> numbers;
  for (const PickleId id : pickle.root().items) {
    numbers.push_back(pickle.node(id).integer);
  }
  return numbers;
}

TEST(PickleTest, ReadsContainersOfEveryForm) {
  const std::string one("K\x01"), two("K\x02");
  const std::pair<std::string, PickleKind> cases[] = {
      {"(" + one + two + "t", PickleKind::kTuple},
      {one + two + "\x86", PickleKind::kTuple},
      {"(" + one + two + "l", PickleKind::kList},
      {"](" + one + two + "e", PickleKind::kList},
      {"]" + one + "a" + two + "a", PickleKind::kList},
      {"(" + one + two + "d", PickleKind::kDict},
      {"}" + one + two + "s", PickleKind::kDict},
      {"}(" + one + two + "u", PickleKind::kDict},
      {"\x8f(" + one + two + "\x90", PickleKind::kSet},
      {"(" + one + two + "\x91", PickleKind::kSet},
      {"c__builtin__\nset\n](" + one + two + "e\x85R", PickleKind::kSet}};
  for (const auto& [opcodes, kind] : cases) {
    const Pickle pickle = Parsed(opcodes);

    EXPECT_EQ(pickle.root().kind, kind);
    EXPECT_THAT(Numbers(pickle), ElementsAre(1, 2)) << opcodes;
  }
}

TEST(PickleTest, SharesRememberedValues) {
  for (const char* memo : {"]q\x05h\x05\x86", "]p5\ng5\n\x86"}) {
    const Pickle pickle = Parsed(memo);
    EXPECT_EQ(pickle.root().items[0], pickle.root().items[1]);
  }
  const Pickle numbered = Parsed(std::string("K\x07\x94]\x94h\x00\x86", 8));
  EXPECT_EQ(numbered.node(numbered.root().items[1]).integer, 7);
}

TEST(PickleTest, HoldsAListThatContainsItself) {
  const Pickle pickle =
      Parsed(std::string("]q\x00h\x00"
                         "a",
                         6));

  EXPECT_EQ(&pickle.node(pickle.root().items[0]), &pickle.root());
}

TEST(PickleTest, StopsAtItsStop) {
  ASSERT_OK_AND_ASSIGN(const Pickle pickle, Pickle::Parse("\x80\x02N.rest"));

  EXPECT_EQ(pickle.size(), 4U);
}

TEST(PickleTest, FindsEntriesOfDictsAndFieldsOfRecords) {
  const std::string fields = text::Dict(
      {{"a", text::Int(1)}, {"b", text::Int(2)}, {"a", text::Int(3)}});
  for (const std::string& opcodes :
       {fields, text::Object("some.module", "Namespace", fields),
        text::Reduce(text::Global("collections", "OrderedDict"),
                     text::Tuple({text::List(
                         {text::Tuple({text::Text("a"), text::Int(3)}),
                          text::Tuple({text::Text("b"), text::Int(2)})})}))}) {
    const Pickle pickle = Parsed(opcodes);

    ASSERT_NE(pickle.Find(pickle.root(), "b"), nullptr);
    EXPECT_EQ(pickle.Find(pickle.root(), "a")->integer, 3);
    EXPECT_EQ(pickle.Find(pickle.root(), "c"), nullptr);
  }
  const Pickle number = Parsed(text::Int(1));
  EXPECT_EQ(number.Find(number.root(), "a"), nullptr);
}

TEST(PickleTest, MakesUnknownClassesRecordsAndCallsNothing) {
  const std::string command = text::Tuple({text::Text("touch /tmp/never")});
  for (const std::string& opcodes :
       {text::Reduce(text::Global("os", "system"), command),
        text::Global("os", "system") + command + "\x81",
        text::Global("os", "system") + command + "}\x92",
        "(" + text::Global("os", "system") + text::Text("touch") + "o",
        "(" + text::Text("touch") + "ios\nsystem\n",
        text::Text("os") + text::Text("system") + "\x93" + command + "R"}) {
    const Pickle pickle = Parsed(opcodes);

    EXPECT_EQ(pickle.root().kind, PickleKind::kRecord);
    EXPECT_EQ(pickle.root().text, "os");
    EXPECT_EQ(pickle.root().name, "system");
    EXPECT_EQ(pickle.node(pickle.root().args).items.size(), 1U);
  }
}

TEST(PickleTest, RecordsOfRecordsKeepTheirItems) {
  const std::string dict =
      text::Reduce(text::Global("collections", "defaultdict"),
                   text::Tuple({text::Global("builtins", "int")})) +
      text::Text("k") + text::Int(4) + "s";

  const Pickle pickle = Parsed(text::Reduce(dict, ")"));

  EXPECT_EQ(pickle.root().kind, PickleKind::kRecord);
  EXPECT_EQ(Parsed(dict).root().items.size(), 2U);
}

TEST(PickleTest, RebuildsTensorsAndUnwrapsParameters) {
  const std::string tensor =
      text::Tensor(text::Storage("HalfStorage", "7", 20), 2, {3, 2}, {1, 3});
  for (const std::string& opcodes :
       {tensor, text::Reduce(text::Global("torch._utils", "_rebuild_parameter"),
                             text::Tuple({tensor, text::Bool(true), "}"}))}) {
    const Pickle pickle = Parsed(opcodes);

    ASSERT_EQ(pickle.root().kind, PickleKind::kTensor);
    const PickleTensor& got = pickle.tensor(pickle.root());
    const PickleStorage& storage = pickle.storage(got);
    EXPECT_EQ(storage.key, "7");
    EXPECT_EQ(storage.dtype, DType::kF16);
    EXPECT_EQ(storage.count, 20);
    EXPECT_EQ(got.offset, 2);
    EXPECT_THAT(got.shape, ElementsAre(3, 2));
    EXPECT_THAT(got.strides, ElementsAre(1, 3));
  }
}

TEST(PickleTest, KnowsEveryStorageOfModels) {
  const std::pair<const char*, DType> cases[] = {
      {"FloatStorage", DType::kF32},     {"HalfStorage", DType::kF16},
      {"BFloat16Storage", DType::kBF16}, {"DoubleStorage", DType::kF64},
      {"LongStorage", DType::kI64},      {"IntStorage", DType::kI32},
      {"ByteStorage", DType::kU8},       {"BoolStorage", DType::kBool}};
  for (const auto& [type, dtype] : cases) {
    const Pickle pickle = Parsed(text::Storage(type, "0", 1));
    EXPECT_EQ(pickle.storage(pickle.root()).dtype, dtype);
  }
  const Pickle other =
      Parsed(text::Tensor(text::Storage("ShortStorage", "0", 1), 0, {}, {}));
  EXPECT_EQ(other.root().kind, PickleKind::kRecord);
}

TEST(PickleTest, ReadsViewsOfStoragesAndClassesAsPersistentIds) {
  const std::string start[] = {
      text::Text("storage"), text::Global("torch.cuda", "FloatStorage"),
      text::Text("9"), text::Text("cuda:0"), text::Int(10)};
  const auto with_view = [&](const std::string& view) {
    return text::Tuple(
               {start[0], start[1], start[2], start[3], start[4], view}) +
           "Q";
  };
  const Pickle whole = Parsed(with_view("N"));
  EXPECT_EQ(whole.storage(whole.root()).count, 10);

  const Pickle view = Parsed(
      with_view(text::Tuple({text::Text("v"), text::Int(4), text::Int(6)})));
  EXPECT_EQ(view.storage(view.root()).offset, 4);
  EXPECT_EQ(view.storage(view.root()).count, 6);
  EXPECT_EQ(view.storage(view.root()).root_count, 10);

  const Pickle module = Parsed(
      text::Tuple({text::Text("module"), text::Global("m", "C"), "N", "N"}) +
      "Q");
  EXPECT_EQ(module.root().kind, PickleKind::kGlobal);
  EXPECT_EQ(module.root().name, "C");
}

TEST(PickleTest, RefusesBrokenProgramsAndNamesTheOffset) {
  const std::string tensor = "ctorch._utils\n_rebuild_tensor_v2\n";
  const std::string storage = text::Storage("FloatStorage", "0", 4);
  const std::pair<std::string, const char*> cases[] = {
      {"", "ends without its STOP"},
      {"N", "ends without its STOP"},
      {".", "offset 0: takes from an empty stack"},
      {"NN00.", "empty stack"},
      {"N(0.", "offset 2: takes from an empty stack"},
      {"a.", "empty stack"},
      {"N1.", "no mark"},
      {"e.", "no mark"},
      {"2.", "empty stack"},
      {"q\x01.", "empty stack"},
      {"h\x01.", "not remembered"},
      {"J\x01\x02.", "ends early"},
      {"X\xff\xff\xff\xff"
       "abc.",
       "ends early"},
      {"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "ends early"},
      {"I12.", "line without end"},
      {"I1x2\n.", "not a number"},
      {"Fx\n.", "not a number"},
      {"S'a\n.", "not a quoted string"},
      {"S'\\xg0'\n.", "not a quoted string"},
      {"S'\\'\n.", "not a quoted string"},
      {"\x80\x06.", "protocol above 5"},
      {"\xff.", "opcode 0xff is not supported"},
      {"\x82\x01.", "opcode 0x82"},
      {"\x97.", "opcode 0x97"},
      {"NNa.", "not a list"},
      {"NNNs.", "not a dict"},
      {"}(Nu.", "key without a value"},
      {"NNR.", "not a tuple"},
      {"NQ.", "neither storage nor module"},
      {"NN\x93.", "class without a name"},
      {"(o.", "object without a class"},
      {tensor + "(NNNNtR.", "tensor without storage"},
      {tensor + "(" + storage + "J\xff\xff\xff\xff))tR.",
       "tensor without storage or offset"},
      {tensor + "(" + storage + "K" + std::string(1, '\0') + "K\x01\x85)tR.",
       "as many strides"},
      {text::Tensor(storage, 0, std::vector<int64_t>(9, 1),
                    std::vector<int64_t>(9, 1)) +
           ".",
       "9 dimensions, want at most 8"},
      {text::Tuple({text::Text("storage"),
                    text::Global("torch", "FloatStorage"), text::Int(3),
                    text::Text("cpu"), text::Int(1)}) +
           "Q.",
       "storage without key"},
      {text::Storage("FloatStorage", "0", -1) + ".", "element count"},
  };
  for (const auto& [opcodes, message] : cases) {
    EXPECT_THAT(Pickle::Parse(opcodes),
                StatusIs(absl::StatusCode::kDataLoss, message))
        << opcodes;
  }
}

TEST(PickleTest, BoundsWhatAShortPickleCanBlowUp) {
  // A list of 2^18 elements, made into a set again and again.
  std::string bomb = "](";
  for (int i = 0; i < (1 << 18); ++i) bomb += "N";
  bomb += "eq\x01";
  bomb += "0";
  for (int i = 0; i < 100; ++i) {
    bomb += std::string("cbuiltins\nset\nh\x01\x85R0");
  }

  EXPECT_THAT(Pickle::Parse(bomb),
              StatusIs(absl::StatusCode::kFailedPrecondition, "more than"));
  EXPECT_THAT(Pickle::Parse(std::string(3 << 20, ']')),
              StatusIs(absl::StatusCode::kFailedPrecondition, "more than"));
  EXPECT_THAT(Pickle::Parse(std::string(3 << 20, '(')),
              StatusIs(absl::StatusCode::kFailedPrecondition, "more than"));
  EXPECT_THAT(Pickle::Parse("c" + std::string(2000, 'm') + "\nn\n."),
              StatusIs(absl::StatusCode::kDataLoss, "class name"));
}

// A byte each: what is remembered takes some fifty.
TEST(PickleTest, BoundsWhatItRemembers) {
  EXPECT_THAT(Pickle::Parse("N" + std::string(3 << 20, '\x94')),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "more than 1048576 values at once"));
}

TEST(PickleTest, BoundsTheElementsThatAContainerIsGiven) {
  const std::string more = "(N" + std::string((1 << 20) - 5, '2');
  for (const auto& [container, append] :
       {std::pair("]", "e"), std::pair("}", "u")}) {
    std::string bomb = container;
    for (int i = 0; i < 17; ++i) bomb += more + append;

    EXPECT_THAT(Pickle::Parse(bomb),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         "more than 16777216 elements"));
  }
}

TEST(PickleTest, BoundsTheNamesThatObjectsOfAClassRepeat) {
  std::string bomb =
      text::Global(std::string(1000, 'm'), std::string(1000, 'n')) + "q\x01";
  for (int i = 0; i < 150'000; ++i) bomb += "h\x01)R0";

  EXPECT_THAT(Pickle::Parse(bomb),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "more than 268435456 bytes"));
}

// Six bytes each, however long the storage's name is.
TEST(PickleTest, TensorsOfOneStorageShareIt) {
  const std::string storage =
      text::Storage("FloatStorage", std::string(1024, 'k'), 4);
  std::string many =
      text::Global("torch._utils", "_rebuild_tensor_v2") + "q\x01" +
      text::Tuple({storage, text::Int(0), text::Tuple({}), text::Tuple({})}) +
      "q\x02";
  for (int i = 0; i < 200'000; ++i) many += "h\x01h\x02R0";
  const int64_t before = PeakBytes();

  const Pickle pickle = Parsed(many);

  EXPECT_EQ(pickle.storages().size(), 1U);
  EXPECT_LT(PeakBytes() - before, 128 << 20);
}

}  // namespace
}  // namespace spanlm
