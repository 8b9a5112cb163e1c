// SPDX-License-Identifier: Apache-2.0
#include "train/corpus.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/symbols.h"
#include "nlohmann/json.hpp"
#include "train/fairseq_dictionary.h"

namespace spanlm {
namespace {

absl::StatusOr<nlohmann::json> ReadSplits(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(
        path,
        ": no such file, nor a dict.txt there; `spanlm-train preprocess` "
        "writes the one or the other"));
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

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

}  // namespace

absl::StatusOr<Corpus> Corpus::Open(const std::string& folder) {
  const bool is_raw = Exists(absl::StrCat(folder, "/corpus.json"));
  const bool is_binary = Exists(absl::StrCat(folder, "/dict.txt"));
  if (is_raw && is_binary) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder,
                     ": holds corpus.json and dict.txt, two corpora; want one "
                     "a folder"));
  }
  return is_binary ? OpenBinary(folder) : OpenRaw(folder);
}

absl::StatusOr<Corpus> Corpus::OpenRaw(const std::string& folder) {
  SPANLM_ASSIGN_OR_RETURN(const nlohmann::json splits,
                          ReadSplits(absl::StrCat(folder, "/corpus.json")));
  Corpus corpus;
  for (const char* name : {"train", "valid", "test"}) {
    SPANLM_ASSIGN_OR_RETURN(MappedFile file, OpenPart(folder, name, splits));
    corpus.texts_.push_back({name, std::move(file)});
  }
  return corpus;
}

absl::StatusOr<Corpus> Corpus::OpenBinary(const std::string& folder) {
  Corpus corpus;
  corpus.dictionary_path_ = absl::StrCat(folder, "/dict.txt");
  SPANLM_ASSIGN_OR_RETURN(const FairseqDictionary dictionary,
                          FairseqDictionary::Read(corpus.dictionary_path_));
  corpus.dictionary_size_ = dictionary.size();
  for (const char* name : {"train", "valid", "test"}) {
    SPANLM_RETURN_IF_ERROR(corpus.AddIndexed(folder, name));
  }
  return corpus;
}

absl::Status Corpus::AddIndexed(const std::string& folder,
                                const std::string& name) {
  for (int number = 0;; ++number) {
    const std::string part = number == 0 ? name : absl::StrCat(name, number);
    const std::string prefix = absl::StrCat(folder, "/", part);
    // One of the two files alone is an error, which Open names.
    if (!Exists(prefix + ".idx") && !Exists(prefix + ".bin")) {
      return absl::OkStatus();
    }
    SPANLM_ASSIGN_OR_RETURN(IndexedText text,
                            IndexedText::Open(prefix, dictionary_size_));
    texts_.push_back({part, std::move(text)});
  }
}

const Corpus::NamedText* Corpus::Find(absl::string_view name) const {
  const auto found =
      std::find_if(texts_.begin(), texts_.end(),
                   [name](const NamedText& text) { return text.name == name; });
  return found == texts_.end() ? nullptr : &*found;
}

SymbolText Corpus::TextOf(absl::string_view name) const {
  const NamedText* found = Find(name);
  if (found == nullptr) return SymbolText();
  if (const auto* indexed = std::get_if<IndexedText>(&found->text)) {
    return SymbolText(indexed->tokens());
  }
  const auto bytes = std::get<MappedFile>(found->text).bytes();
  return SymbolText(absl::MakeConstSpan(
      reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

absl::StatusOr<SymbolText> Corpus::Part(const std::string& name) const {
  if (Find(name) != nullptr) return TextOf(name);
  return absl::NotFoundError(absl::StrCat(
      "no part ", name, ", want ",
      absl::StrJoin(texts_, ", ", [](std::string* out, const NamedText& text) {
        *out += text.name;
      })));
}

absl::Status Corpus::SetVocabulary(ModelFields* fields) const {
  if (!dictionary_path_.empty()) {
    fields->vocab_size = dictionary_size_;
    return ReadDictionary(dictionary_path_, fields);
  }
  fields->symbols = AllBytes();
  fields->vocab_size = static_cast<int32_t>(fields->symbols.size());
  return absl::OkStatus();
}

}  // namespace spanlm
