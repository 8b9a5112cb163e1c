// SPDX-License-Identifier: Apache-2.0
// A text file of any size, read by several threads in pieces of a few hundred
// thousand words.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace spanlm {

struct TextChunkOptions {
  int threads = 1;                            // at least 1
  int64_t chunk_bytes = int64_t{1} << 20;     // at least 1
  int64_t max_word_bytes = int64_t{1} << 16;  // longer words are refused
};

// Cuts the file behind blanks, tabs and line feeds, so that no word and no line
// end is in two chunks, and for each chunk calls
//
//   work(thread, text)     side by side, on thread [0, threads); `text` is lent
//   commit(thread, bytes)  after it on the same thread, one at a time and in
//                          the order of the chunks; `bytes` is the text's size
//
// A chunk may be empty. Memory: chunk and longest word, times threads. Returns
// the first error in the order of the chunks, and calls nothing for those
// behind it once it is known. kNotFound: no such file; kDataLoss: a longer word
// (its place named); kUnavailable: I/O, or a file that shrinks meanwhile.
absl::Status ReadTextChunks(
    const std::string& path, const TextChunkOptions& options,
    const std::function<absl::Status(int, absl::string_view)>& work,
    const std::function<absl::Status(int, int64_t)>& commit);

}  // namespace spanlm
