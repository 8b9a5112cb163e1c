// SPDX-License-Identifier: Apache-2.0
#include "train/decimal_text_writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "train/pending_file.h"

namespace spanlm {
namespace {

constexpr int64_t kChunkBytes = int64_t{1} << 20;
constexpr size_t kLineFeed = 10;

// Each byte's text with the blank before it.
std::array<std::string, 256> MakeWords() {
  std::array<std::string, 256> words;
  for (size_t i = 0; i < words.size(); ++i) words[i] = absl::StrCat(" ", i);
  words[kLineFeed] = " \n";
  return words;
}

// Writes the next bytes of a file, part after part.
class PartWriter {
 public:
  PartWriter(const std::string& source,
             const std::function<void(int64_t)>& progress)
      : path_(source), source_(source, std::ios::binary), progress_(progress) {}

  absl::Status Write(int64_t size, const std::string& path) {
    PendingFile text(path);
    PendingFile raw(path + ".raw");
    bool is_first = true;
    while (size > 0) {
      SPANLM_RETURN_IF_ERROR(Read(std::min(size, kChunkBytes)));
      SPANLM_RETURN_IF_ERROR(raw.Append(bytes_));
      const absl::string_view words = Words();
      SPANLM_RETURN_IF_ERROR(text.Append(is_first ? words.substr(1) : words));
      is_first = false;
      size -= static_cast<int64_t>(bytes_.size());
      done_ += static_cast<int64_t>(bytes_.size());
      progress_(done_);
    }
    SPANLM_RETURN_IF_ERROR(raw.Commit());
    return text.Commit();
  }

 private:
  absl::Status Read(int64_t size) {
    bytes_.resize(static_cast<size_t>(size));
    source_.read(bytes_.data(), size);
    if (source_.gcount() == size) return absl::OkStatus();
    const int error = errno;
    return absl::UnavailableError(absl::StrCat(
        path_, ": read: ", std::generic_category().message(error)));
  }

  absl::string_view Words() {
    text_.clear();
    for (const char c : bytes_) text_ += words_[static_cast<unsigned char>(c)];
    return text_;
  }

  const std::string path_;
  const std::array<std::string, 256> words_ = MakeWords();
  std::ifstream source_;
  const std::function<void(int64_t)>& progress_;
  std::string bytes_, text_;
  int64_t done_ = 0;
};

}  // namespace

absl::Status WriteDecimalText(const std::string& source,
                              const std::string& folder,
                              const CorpusSplit& split,
                              const std::function<void(int64_t)>& progress) {
  SPANLM_RETURN_IF_ERROR(PrepareSplit(source, folder, split));
  PartWriter writer(source, progress);
  for (const auto& [name, bytes] :
       {std::pair("train", split.train), std::pair("valid", split.valid),
        std::pair("test", split.test)}) {
    SPANLM_RETURN_IF_ERROR(
        writer.Write(bytes, absl::StrCat(folder, "/", name, ".txt")));
  }
  return absl::OkStatus();
}

}  // namespace spanlm
