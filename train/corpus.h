// SPDX-License-Identifier: Apache-2.0
// What a model is trained on: a raw corpus directory, mapped.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/checkpoint/mapped_file.h"

namespace spanlm {

// The three parts of a directory that `spanlm-train preprocess --raw` wrote;
// a byte is its own symbol. Immutable; movable.
class Corpus {
 public:
  // kNotFound: no such folder or file; kDataLoss: a part whose size is not
  // what corpus.json says (both named).
  static absl::StatusOr<Corpus> Open(const std::string& folder);

  absl::Span<const uint8_t> train() const { return Bytes(train_); }
  absl::Span<const uint8_t> valid() const { return Bytes(valid_); }
  absl::Span<const uint8_t> test() const { return Bytes(test_); }

 private:
  Corpus(MappedFile train, MappedFile valid, MappedFile test)
      : train_(std::move(train)),
        valid_(std::move(valid)),
        test_(std::move(test)) {}

  static absl::Span<const uint8_t> Bytes(const MappedFile& file) {
    return {reinterpret_cast<const uint8_t*>(file.bytes().data()),
            file.bytes().size()};
  }

  MappedFile train_, valid_, test_;
};

}  // namespace spanlm
