// SPDX-License-Identifier: Apache-2.0
#include "train/indexed_text.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "train/fairseq_dictionary.h"

namespace spanlm {
namespace {

constexpr absl::string_view kMagic("MMIDIDX\0\0", 9);
constexpr absl::string_view kOldMagic = "TNTIDX";
constexpr uint64_t kVersion = 1;
constexpr uint8_t kUint16 = 8;
constexpr int64_t kCountPlace = 18;
constexpr int64_t kHeaderBytes = 26;
constexpr int64_t kSizeBytes = sizeof(int32_t);
constexpr int64_t kOffsetBytes = sizeof(int64_t);
constexpr int64_t kTokenBytes = sizeof(uint16_t);
constexpr int64_t kLinesAtOnce = 1 << 16;

// The numbers of an index are not aligned.
template <typename T>
T Load(absl::Span<const std::byte> bytes, int64_t place) {
  T value;
  std::memcpy(&value, bytes.data() + place, sizeof(value));
  return value;
}

template <typename T>
absl::string_view AsBytes(const T* values, size_t count) {
  return {reinterpret_cast<const char*>(values), count * sizeof(T)};
}

// The checks of IndexedText::Open. Paths and bytes are lent.
class IndexCheck {
 public:
  IndexCheck(const std::string& prefix, absl::Span<const std::byte> index,
             absl::Span<const std::byte> data, int32_t vocab_size)
      : path_(prefix + ".idx"),
        data_path_(prefix + ".bin"),
        index_(index),
        data_(data),
        vocab_size_(vocab_size) {}

  absl::Status CheckHeader() const {
    const absl::string_view text(reinterpret_cast<const char*>(index_.data()),
                                 index_.size());
    if (absl::StartsWith(text, kOldMagic)) {
      return absl::FailedPreconditionError(absl::StrCat(
          path_, ": an index of --dataset-impl cached or lazy, want mmap"));
    }
    if (text.size() < kHeaderBytes) {
      return absl::DataLossError(absl::StrFormat(
          "%s: has %d bytes, its header %d", path_, text.size(), kHeaderBytes));
    }
    if (!absl::StartsWith(text, kMagic)) {
      return absl::DataLossError(
          absl::StrCat(path_, ": does not begin with MMIDIDX"));
    }
    const auto version = Load<uint64_t>(index_, 9);
    if (version != kVersion) {
      return absl::FailedPreconditionError(
          absl::StrFormat("%s: version %d, want %d", path_, version, kVersion));
    }
    const auto type = Load<uint8_t>(index_, 17);
    if (type != kUint16) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "%s: type %d, want %d (uint16)", path_, type, kUint16));
    }
    return CheckIndexSize();
  }

  absl::Status CheckLines() const {
    int64_t place = 0;  // bytes of the data
    for (int64_t line = 0; line < line_count(); ++line) {
      const auto size = Load<int32_t>(index_, SizePlace(line));
      const auto offset = Load<int64_t>(index_, OffsetPlace(line));
      if (size < 1) {
        return LineError(line, absl::StrFormat("has %d ids, want 1 or more "
                                               "(</s> is one)",
                                               size));
      }
      if (offset != place) {
        return LineError(line,
                         absl::StrFormat("begins at byte %d, want %d where "
                                         "the line before ends",
                                         offset, place));
      }
      if (size > (data_size() - place) / kTokenBytes) {
        return LineError(line,
                         absl::StrFormat("ends at byte %d, %s has %d bytes",
                                         place + size * kTokenBytes, data_path_,
                                         data_size()));
      }
      SPANLM_RETURN_IF_ERROR(CheckIds(line, place, size));
      place += size * kTokenBytes;
    }
    if (place == data_size()) return absl::OkStatus();
    return absl::DataLossError(absl::StrFormat(
        "%s: line %d, the last, ends at byte %d, %s has %d bytes", path_,
        line_count(), place, data_path_, data_size()));
  }

  int64_t line_count() const {
    return static_cast<int64_t>(Load<uint64_t>(index_, kCountPlace));
  }

 private:
  static int64_t SizePlace(int64_t line) {
    return kHeaderBytes + kSizeBytes * line;
  }
  int64_t OffsetPlace(int64_t line) const {
    return SizePlace(line_count()) + kOffsetBytes * line;
  }
  int64_t data_size() const { return static_cast<int64_t>(data_.size()); }

  absl::Status LineError(int64_t line, absl::string_view what) const {
    return absl::DataLossError(
        absl::StrFormat("%s: line %d %s", path_, line + 1, what));
  }

  // The file holds the numbers of as many lines as it says, and no byte more.
  absl::Status CheckIndexSize() const {
    const auto lines = Load<uint64_t>(index_, kCountPlace);
    const uint64_t bytes = index_.size() - kHeaderBytes;
    constexpr uint64_t kLineBytes = kSizeBytes + kOffsetBytes;
    // Comparing so, no product can overflow.
    if (lines == bytes / kLineBytes && bytes % kLineBytes == 0) {
      return absl::OkStatus();
    }
    if (lines <= bytes / kLineBytes) {
      return absl::DataLossError(
          absl::StrFormat("%s: goes on for %d bytes behind its last line, %d",
                          path_, bytes - lines * kLineBytes, lines));
    }
    const uint64_t sizes = std::min(lines, bytes / kSizeBytes);
    if (sizes < lines) {
      return absl::DataLossError(
          absl::StrFormat("%s: ends before the size of line %d (of %d)", path_,
                          sizes + 1, lines));
    }
    const uint64_t offsets = (bytes - lines * kSizeBytes) / kOffsetBytes;
    return absl::DataLossError(
        absl::StrFormat("%s: ends before the place of line %d (of %d)", path_,
                        offsets + 1, lines));
  }

  absl::Status CheckIds(int64_t line, int64_t place, int64_t size) const {
    const auto* ids = reinterpret_cast<const uint16_t*>(data_.data() + place);
    uint16_t largest = 0;
    for (int64_t i = 0; i < size; ++i) largest = std::max(largest, ids[i]);
    if (largest >= vocab_size_) {
      const int64_t which = std::max_element(ids, ids + size) - ids;
      return LineError(
          line, absl::StrFormat("has the id %d as its word %d in %s, the "
                                "dictionary has %d symbols",
                                largest, which + 1, data_path_, vocab_size_));
    }
    if (ids[size - 1] == kFairseqLineEnd) return absl::OkStatus();
    return LineError(
        line, absl::StrFormat("ends in the id %d in %s, want %d (</s>)",
                              ids[size - 1], data_path_, kFairseqLineEnd));
  }

  const std::string path_;
  const std::string data_path_;
  const absl::Span<const std::byte> index_;
  const absl::Span<const std::byte> data_;
  const int32_t vocab_size_;
};

}  // namespace

absl::StatusOr<IndexedText> IndexedText::Open(const std::string& prefix,
                                              int32_t vocab_size) {
  SPANLM_ASSIGN_OR_RETURN(const MappedFile index,
                          MappedFile::Open(prefix + ".idx"));
  SPANLM_ASSIGN_OR_RETURN(MappedFile data, MappedFile::Open(prefix + ".bin"));
  const IndexCheck check(prefix, index.bytes(), data.bytes(), vocab_size);
  SPANLM_RETURN_IF_ERROR(check.CheckHeader());
  SPANLM_RETURN_IF_ERROR(check.CheckLines());
  const int64_t line_count = check.line_count();
  return IndexedText(std::move(data), line_count);
}

IndexedTextWriter::IndexedTextWriter(const std::string& prefix)
    : index_path_(prefix + ".idx"),
      data_(prefix + ".bin"),
      index_(index_path_) {}

absl::StatusOr<std::unique_ptr<IndexedTextWriter>> IndexedTextWriter::Create(
    const std::string& prefix) {
  std::unique_ptr<IndexedTextWriter> writer(new IndexedTextWriter(prefix));
  SPANLM_RETURN_IF_ERROR(writer->data_.Append(""));
  const uint64_t line_count = 0;  // known at the end
  SPANLM_RETURN_IF_ERROR(writer->index_.Append(
      absl::StrCat(kMagic, AsBytes(&kVersion, 1), AsBytes(&kUint16, 1),
                   AsBytes(&line_count, 1))));
  return writer;
}

absl::Status IndexedTextWriter::Append(absl::Span<const uint16_t> tokens,
                                       absl::Span<const int32_t> line_sizes) {
  token_count_ += static_cast<int64_t>(tokens.size());
  line_count_ += static_cast<int64_t>(line_sizes.size());
  SPANLM_RETURN_IF_ERROR(data_.Append(AsBytes(tokens.data(), tokens.size())));
  return index_.Append(AsBytes(line_sizes.data(), line_sizes.size()));
}

// The places follow from the sizes, which are read back from the file.
absl::Status IndexedTextWriter::AppendOffsets() {
  std::vector<int32_t> sizes;
  std::vector<int64_t> offsets;
  int64_t place = 0;
  for (int64_t line = 0; line < line_count_; line += kLinesAtOnce) {
    const auto count =
        static_cast<size_t>(std::min(kLinesAtOnce, line_count_ - line));
    sizes.resize(count);
    offsets.resize(count);
    SPANLM_RETURN_IF_ERROR(index_.ReadAt(kHeaderBytes + kSizeBytes * line,
                                         reinterpret_cast<char*>(sizes.data()),
                                         count * sizeof(int32_t)));
    for (size_t i = 0; i < count; ++i) {
      offsets[i] = place;
      place += sizes[i] * kTokenBytes;
    }
    SPANLM_RETURN_IF_ERROR(
        index_.Append(AsBytes(offsets.data(), offsets.size())));
  }
  SPANLM_CHECK(place == token_count_ * kTokenBytes);
  return absl::OkStatus();
}

absl::Status IndexedTextWriter::Finish() {
  SPANLM_RETURN_IF_ERROR(AppendOffsets());
  const auto line_count = static_cast<uint64_t>(line_count_);
  SPANLM_RETURN_IF_ERROR(index_.WriteAt(kCountPlace, AsBytes(&line_count, 1)));
  std::error_code error;
  std::filesystem::remove(index_path_, error);
  SPANLM_RETURN_IF_ERROR(data_.Commit());
  return index_.Commit();
}

}  // namespace spanlm
