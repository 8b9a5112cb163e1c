// SPDX-License-Identifier: Apache-2.0
// What a model is trained on: a raw corpus directory or one of fairseq's binary
// data directories, mapped.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/mapped_file.h"
#include "engine/model_config.h"
#include "train/indexed_text.h"
#include "train/symbol_text.h"

namespace spanlm {

// The texts of a directory that `spanlm-train preprocess` wrote. With
// corpus.json it is raw: a byte is its own symbol. With dict.txt it is binary:
// symbols are the dictionary's ids. Immutable; movable.
class Corpus {
 public:
  // kNotFound: no such folder or file; kDataLoss: a raw part whose size is not
  // what corpus.json says (both named); kFailedPrecondition: both corpus.json
  // and dict.txt are there; and the errors of FairseqDictionary::Read and
  // IndexedText::Open.
  static absl::StatusOr<Corpus> Open(const std::string& folder);

  // Empty where a binary directory has no such part.
  SymbolText train() const { return TextOf("train"); }
  SymbolText valid() const { return TextOf("valid"); }
  SymbolText test() const { return TextOf("test"); }

  // "train", "valid", "test", in a binary directory "valid1", …, too. kNotFound
  // names the part and those that are there.
  absl::StatusOr<SymbolText> Part(const std::string& name) const;

  // Sets the symbols of a model over this text, and their number. Errors of a
  // dictionary.
  absl::Status SetVocabulary(ModelFields* fields) const;
  // Of fairseq's dict.txt; empty for raw bytes.
  const std::string& dictionary_path() const { return dictionary_path_; }
  // What fills a block that the text's end cuts off: fairseq's <pad>.
  int64_t pad_symbol() const { return dictionary_path_.empty() ? 0 : 1; }

 private:
  struct NamedText {
    std::string name;
    std::variant<MappedFile, IndexedText> text;
  };

  Corpus() = default;
  static absl::StatusOr<Corpus> OpenRaw(const std::string& folder);
  static absl::StatusOr<Corpus> OpenBinary(const std::string& folder);
  // Adds `name`, and name1, name2, … as far as they are there.
  absl::Status AddIndexed(const std::string& folder, const std::string& name);
  const NamedText* Find(absl::string_view name) const;
  SymbolText TextOf(absl::string_view name) const;

  std::vector<NamedText> texts_;
  std::string dictionary_path_;
  int32_t dictionary_size_ = 0;
};

}  // namespace spanlm
