// SPDX-License-Identifier: Apache-2.0
// Every truncation of a small file, and a flipped byte at each of its places,
// gives a Status; nothing crashes and no damaged weight is taken for a good
// one. Worth most under the sanitizers.
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/checkpoint/digest.h"
#include "engine/checkpoint/import/import.h"
#include "engine/checkpoint/model_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/checkpoint/pickle_text.h"
#include "tests/engine/checkpoint/tiny_contents.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using testing::AnyOf;
namespace text = pickle_text;

// One layer of width 2: the fewest bytes with every tensor.
ModelFields Smallest() {
  ModelFields fields = TinyAdaptiveSpanFields();
  fields.n_layer = 1;
  fields.d_model = 2;
  fields.d_head = 1;
  fields.d_inner = 1;
  fields.vocab_size = 2;
  fields.attn_span = 4;
  return fields;
}

// Makes the file anew: overwriting one makes some file systems wait.
std::string Rewrite(const TempDir& folder, const std::string& name,
                    const std::string& data) {
  std::filesystem::remove(folder.File(name));
  return folder.Write(name, data);
}

// The beginnings of `good`.
std::vector<std::string> Truncations(const std::string& good) {
  std::vector<std::string> bad;
  for (size_t size = 0; size < good.size(); ++size) {
    bad.push_back(good.substr(0, size));
  }
  return bad;
}

// `good` with one byte changed, at each place.
std::vector<std::string> Flips(const std::string& good) {
  std::vector<std::string> bad(good.size(), good);
  for (size_t i = 0; i < good.size(); ++i) {
    bad[i][i] = static_cast<char>(good[i] ^ (i % 2 == 0 ? 0x01 : 0xff));
  }
  return bad;
}

std::vector<std::string> AllDamage(const std::string& good) {
  std::vector<std::string> bad = Truncations(good);
  for (std::string& flip : Flips(good)) bad.push_back(std::move(flip));
  return bad;
}

std::map<std::string, std::string> BytesByName(const ModelContents& contents) {
  std::map<std::string, std::string> bytes;
  for (const TensorData& tensor : contents.tensors) {
    bytes[tensor.name] = tensor.bytes;
  }
  return bytes;
}

TEST(DamageTest, WeightsOfAModelDirectoryAreAlwaysNoticed) {
  const TempDir folder;
  ASSERT_OK(WriteModelDir(folder.File("m"), TinyContents(Smallest())));
  const std::string good = ReadFile(folder.File("m/model.safetensors"));

  for (const std::string& bad : AllDamage(good)) {
    Rewrite(folder, "m/model.safetensors", bad);
    ASSERT_THAT(ModelDir::Open(folder.File("m")),
                StatusIs(absl::StatusCode::kDataLoss, "model.safetensors"));
  }
}

TEST(DamageTest, ADamagedConfigIsRefusedOrNamesAnotherModel) {
  const TempDir folder;
  ASSERT_OK(WriteModelDir(folder.File("m"), TinyContents(Smallest())));
  const std::string good = ReadFile(folder.File("m/config.json"));

  for (const std::string& bad : AllDamage(good)) {
    Rewrite(folder, "m/config.json", bad);
    const absl::StatusOr<ModelDir> model = ModelDir::Open(folder.File("m"));
    if (model.ok()) {
      ASSERT_NE(model->digest(), Sha256Hex(good));
    } else {
      ASSERT_THAT(
          model, AnyOf(StatusIs(absl::StatusCode::kDataLoss, "/m/"),
                       StatusIs(absl::StatusCode::kFailedPrecondition, "/m/")));
    }
  }
}

// Imports the file `good`, then each of `damaged`: an error that names the
// file, or a model; with checksums, the good one's tensors.
void ExpectNoticed(const std::string& good,
                   const std::vector<std::string>& damaged,
                   bool has_checksums) {
  const TempDir folder;
  ImportOptions options;
  options.settings["block_rounding"] = "4";
  ASSERT_OK_AND_ASSIGN(const ModelContents whole,
                       ImportModel(folder.Write("f.pt", good), options));
  const std::map<std::string, std::string> want = BytesByName(whole);

  for (const std::string& bad : damaged) {
    const absl::StatusOr<ModelContents> contents =
        ImportModel(Rewrite(folder, "f.pt", bad), options);
    if (!contents.ok()) {
      ASSERT_THAT(
          contents,
          AnyOf(StatusIs(absl::StatusCode::kDataLoss, "f.pt"),
                StatusIs(absl::StatusCode::kFailedPrecondition, "f.pt")));
    } else if (has_checksums) {
      // Dates and flags of a zip entry are under no checksum.
      ASSERT_EQ(BytesByName(*contents), want);
    }
  }
}

std::string SmallZip() {
  text::Storages storages;
  const std::string value =
      text::StateDict(TinyContents(Smallest()).tensors, "", &storages);
  return text::TorchZip(value, storages);
}

std::string SmallStream() {
  text::Storages storages;
  const std::string value =
      text::StateDict(TinyContents(Smallest()).tensors, "", &storages);
  return text::TorchStream(value, storages);
}

TEST(DamageTest, ATruncatedZipIsAnError) {
  ExpectNoticed(SmallZip(), Truncations(SmallZip()), /*has_checksums=*/true);
}

TEST(DamageTest, AZipWithAFlippedByteGivesItsTensorsOrAnError) {
  ExpectNoticed(SmallZip(), Flips(SmallZip()), /*has_checksums=*/true);
}

TEST(DamageTest, ATruncatedStreamIsAnError) {
  ExpectNoticed(SmallStream(), Truncations(SmallStream()),
                /*has_checksums=*/false);
}

TEST(DamageTest, AStreamWithAFlippedByteGivesAModelOrAnError) {
  ExpectNoticed(SmallStream(), Flips(SmallStream()), /*has_checksums=*/false);
}

}  // namespace
}  // namespace spanlm
