// SPDX-License-Identifier: Apache-2.0
// Which byte each symbol of a foreign model stands for.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "engine/model_config.h"

namespace spanlm {

// Sets `symbols` and `unknown_symbol` from fairseq's dict.txt: line n is symbol
// n + 4, a byte as decimal text or a filler; 2 is </s>, byte 10; 3 is <unk>.
// kNotFound, or kInvalidArgument naming file and line, or a number of symbols
// that is not `vocab_size`.
absl::Status ReadDictionary(const std::string& path, ModelFields* fields);

// Sets `symbols` from the text that fixed the order of the original code's
// symbols, which is that of first appearance; the end of a line is <eos>, byte
// 10. The text is either decimal numbers between blanks or the bytes
// themselves. Errors as above.
absl::Status ReadVocabularyText(const std::string& path, ModelFields* fields);

}  // namespace spanlm
