// SPDX-License-Identifier: Apache-2.0
#include "train/corpus.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

absl::StatusOr<nlohmann::json> ReadSplits(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(
        path, ": no such file; `spanlm-train preprocess --raw` writes it"));
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("splits") ||
      !json["splits"].is_object()) {
    return absl::DataLossError(absl::StrCat(path, ": no object \"splits\""));
  }
  return json["splits"];
}

absl::StatusOr<MappedFile> OpenPart(const std::string& folder,
                                    const std::string& part,
                                    const nlohmann::json& splits) {
  const std::string path = absl::StrCat(folder, "/", part, ".bytes");
  SPANLM_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  if (!splits.contains(part) || !splits[part].is_object() ||
      !splits[part].contains("bytes") ||
      !splits[part]["bytes"].is_number_unsigned()) {
    return absl::DataLossError(
        absl::StrCat(folder, "/corpus.json: no size of part ", part));
  }
  const uint64_t expected = splits[part]["bytes"].get<uint64_t>();
  if (file.bytes().size() != expected) {
    return absl::DataLossError(absl::StrCat(path, " has ", file.bytes().size(),
                                            " bytes, corpus.json says ",
                                            expected));
  }
  return file;
}

}  // namespace

absl::StatusOr<Corpus> Corpus::Open(const std::string& folder) {
  SPANLM_ASSIGN_OR_RETURN(const nlohmann::json splits,
                          ReadSplits(absl::StrCat(folder, "/corpus.json")));
  SPANLM_ASSIGN_OR_RETURN(MappedFile train, OpenPart(folder, "train", splits));
  SPANLM_ASSIGN_OR_RETURN(MappedFile valid, OpenPart(folder, "valid", splits));
  SPANLM_ASSIGN_OR_RETURN(MappedFile test, OpenPart(folder, "test", splits));
  return Corpus(std::move(train), std::move(valid), std::move(test));
}

}  // namespace spanlm
