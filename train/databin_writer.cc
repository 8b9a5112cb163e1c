// SPDX-License-Identifier: Apache-2.0
#include "train/databin_writer.h"

#include <filesystem>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/atomic_file.h"
#include "base/status_macros.h"
#include "engine/checkpoint/mapped_file.h"
#include "train/indexed_text.h"
#include "train/raw_corpus_writer.h"
#include "train/text_words.h"

namespace spanlm {
namespace {

// A line's size, </s> included, is an int32 in the index.
constexpr int64_t kMaxLineWords = std::numeric_limits<int32_t>::max() - 1;

// Bytes done, over all passes.
class Progress {
 public:
  explicit Progress(const std::function<void(int64_t)>& callback)
      : callback_(callback) {}
  void Add(int64_t bytes) {
    done_ += bytes;
    callback_(done_);
  }

 private:
  const std::function<void(int64_t)>& callback_;
  int64_t done_ = 0;
};

absl::StatusOr<WordCounts> CountWords(const std::string& source,
                                      const TextChunkOptions& options,
                                      Progress* progress) {
  std::vector<WordCounts> counts(static_cast<size_t>(options.threads));
  SPANLM_RETURN_IF_ERROR(ReadTextChunks(
      source, options,
      [&counts](int thread, absl::string_view text) {
        WordCounts& mine = counts[static_cast<size_t>(thread)];
        ForEachWord(
            text, [&mine](absl::string_view word) { mine.Add(word); }, [] {});
        return absl::OkStatus();
      },
      [progress](int /*thread*/, int64_t bytes) {
        progress->Add(bytes);
        return absl::OkStatus();
      }));
  for (size_t i = 1; i < counts.size(); ++i) counts[0].Add(counts[i]);
  return std::move(counts[0]);
}

// One text's ids. Encode runs on many threads, Commit in the order of the text
// and on one at a time, as ReadTextChunks does it.
class PartEncoder {
 public:
  // All is lent.
  PartEncoder(const std::string& source, const FairseqDictionary& dictionary,
              int threads, IndexedTextWriter* writer)
      : source_(source),
        dictionary_(dictionary),
        writer_(writer),
        chunks_(static_cast<size_t>(threads)) {}

  absl::Status Encode(int thread, absl::string_view text) {
    Chunk& chunk = chunks_[static_cast<size_t>(thread)];
    chunk.tokens.clear();
    chunk.line_sizes.clear();
    chunk.unknown = 0;
    size_t line_begin = 0;  // in chunk.tokens
    ForEachWord(
        text,
        [&](absl::string_view word) {
          const uint16_t id = dictionary_.IdOf(word);
          if (id == kFairseqUnknown && word != "<unk>") ++chunk.unknown;
          chunk.tokens.push_back(id);
        },
        [&] {
          chunk.tokens.push_back(kFairseqLineEnd);
          const size_t size = chunk.tokens.size() - line_begin;
          chunk.line_sizes.push_back(static_cast<int32_t>(size));
          line_begin = chunk.tokens.size();
        });
    chunk.open_tokens = static_cast<int64_t>(chunk.tokens.size() - line_begin);
    chunk.is_empty = text.empty();
    chunk.ends_in_line = !text.empty() && TextByteAt(text, text.size() - 1) !=
                                              TextByte::kLineEnd;
    return absl::OkStatus();
  }

  absl::Status Commit(int thread) {
    Chunk& chunk = chunks_[static_cast<size_t>(thread)];
    if (chunk.is_empty) return absl::OkStatus();
    unknown_ += chunk.unknown;
    // The first line that ends here may have begun in chunks before.
    open_tokens_ +=
        chunk.line_sizes.empty() ? chunk.open_tokens : chunk.line_sizes.front();
    if (open_tokens_ > kMaxLineWords) {
      return absl::OutOfRangeError(
          absl::StrFormat("%s: line %d has more than %d words", source_,
                          writer_->line_count() + 1, kMaxLineWords - 1));
    }
    if (!chunk.line_sizes.empty()) {
      chunk.line_sizes.front() = static_cast<int32_t>(open_tokens_);
      open_tokens_ = chunk.open_tokens;
    }
    in_line_ = chunk.ends_in_line;
    return writer_->Append(chunk.tokens, chunk.line_sizes);
  }

  // Ends the last line, if nothing in the text does, and the files.
  absl::Status Finish() {
    if (in_line_) {
      SPANLM_RETURN_IF_ERROR(writer_->Append(
          {kFairseqLineEnd}, {static_cast<int32_t>(open_tokens_ + 1)}));
    }
    return writer_->Finish();
  }

  int64_t unknown() const { return unknown_; }

 private:
  // What Encode leaves for Commit.
  struct Chunk {
    std::vector<uint16_t> tokens;
    std::vector<int32_t> line_sizes;  // of the lines that end in the chunk
    int64_t open_tokens = 0;          // behind them
    int64_t unknown = 0;
    bool is_empty = true;
    bool ends_in_line = false;
  };

  const std::string& source_;
  const FairseqDictionary& dictionary_;
  IndexedTextWriter* const writer_;
  std::vector<Chunk> chunks_;  // one a thread
  int64_t open_tokens_ = 0;    // of the line that no line end has ended yet
  int64_t unknown_ = 0;
  bool in_line_ = false;  // whether bytes follow the last line end
};

absl::StatusOr<DatabinPart> WritePart(const std::string& source,
                                      const std::string& prefix,
                                      const FairseqDictionary& dictionary,
                                      const TextChunkOptions& options,
                                      Progress* progress) {
  SPANLM_ASSIGN_OR_RETURN(const std::unique_ptr<IndexedTextWriter> writer,
                          IndexedTextWriter::Create(prefix));
  PartEncoder encoder(source, dictionary, options.threads, writer.get());
  SPANLM_RETURN_IF_ERROR(ReadTextChunks(
      source, options,
      [&encoder](int thread, absl::string_view text) {
        return encoder.Encode(thread, text);
      },
      [&](int thread, int64_t bytes) {
        progress->Add(bytes);
        return encoder.Commit(thread);
      }));
  SPANLM_RETURN_IF_ERROR(encoder.Finish());
  return DatabinPart{source, writer->line_count(), writer->token_count(),
                     encoder.unknown()};
}

absl::StatusOr<FairseqDictionary> GetDictionary(const DatabinOptions& options,
                                                Progress* progress) {
  if (!options.dictionary.empty()) {
    return FairseqDictionary::Read(options.dictionary);
  }
  if (options.train.empty()) {
    return absl::InvalidArgumentError(
        "--trainpref is missing: the dictionary is made from it, unless "
        "--srcdict names one");
  }
  SPANLM_ASSIGN_OR_RETURN(const WordCounts counts,
                          CountWords(options.train, options.chunks, progress));
  return FairseqDictionary::Create(counts, options.dictionary_options);
}

// Parts that are already in the folder must not get another dictionary.
absl::Status WriteDictionary(const std::string& folder,
                             const FairseqDictionary& dictionary) {
  SPANLM_RETURN_IF_ERROR(MakeFolder(folder));
  const std::string path = absl::StrCat(folder, "/dict.txt");
  const std::string text = dictionary.Text();
  std::error_code error;
  if (std::filesystem::exists(path, error)) {
    SPANLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
    const absl::string_view there(
        reinterpret_cast<const char*>(file.bytes().data()),
        file.bytes().size());
    if (there == text) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        path,
        ": is there and is another dictionary; give another --destdir, remove "
        "it with the files made for it, or use it with --srcdict"));
  }
  return WriteFileAtomically(path, text);
}

// Each text file and the name of its part: the first one's is `name`.
using Sources = std::vector<std::pair<std::string, std::string>>;

void AddSources(const std::vector<std::string>& paths, const std::string& name,
                Sources* sources) {
  for (size_t i = 0; i < paths.size(); ++i) {
    sources->emplace_back(paths[i], i == 0 ? name : absl::StrCat(name, i));
  }
}

Sources SourcesOf(const DatabinOptions& options) {
  Sources sources;
  if (!options.train.empty()) sources.emplace_back(options.train, "train");
  AddSources(options.valid, "valid", &sources);
  AddSources(options.test, "test", &sources);
  return sources;
}

}  // namespace

absl::StatusOr<int64_t> DatabinWork(const DatabinOptions& options) {
  int64_t work = 0;
  for (const auto& [source, name] : SourcesOf(options)) {
    SPANLM_ASSIGN_OR_RETURN(const int64_t size, FileSize(source));
    const bool is_counted = options.dictionary.empty() && name == "train";
    work += is_counted ? 2 * size : size;
  }
  return work;
}

absl::StatusOr<DatabinSummary> WriteDatabin(
    const DatabinOptions& options,
    const std::function<void(int64_t)>& progress) {
  // A missing file should not be found after minutes of work.
  SPANLM_RETURN_IF_ERROR(DatabinWork(options).status());
  Progress all(progress);
  SPANLM_ASSIGN_OR_RETURN(const FairseqDictionary dictionary,
                          GetDictionary(options, &all));
  SPANLM_RETURN_IF_ERROR(WriteDictionary(options.folder, dictionary));
  DatabinSummary summary;
  summary.symbols = dictionary.size();
  for (const auto& [source, name] : SourcesOf(options)) {
    SPANLM_ASSIGN_OR_RETURN(
        DatabinPart part,
        WritePart(source, absl::StrCat(options.folder, "/", name), dictionary,
                  options.chunks, &all));
    summary.parts.push_back(std::move(part));
  }
  return summary;
}

}  // namespace spanlm
