// SPDX-License-Identifier: Apache-2.0
#include "train/raw_corpus_writer.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/atomic_file.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "train/pending_file.h"

namespace spanlm {
namespace {

constexpr int64_t kChunkBytes = int64_t{1} << 20;

absl::Status IoError(const std::string& path, absl::string_view what) {
  const int error = errno;
  return absl::UnavailableError(absl::StrCat(
      path, ": ", what, ": ", std::generic_category().message(error)));
}

// SHA-256 of bytes that come piece by piece.
class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void Add(absl::string_view bytes) {
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  }
  std::string Hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
    return absl::BytesToHexString(
        absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

// The next `size` bytes of a file to another, with their digest.
class Copier {
 public:
  Copier(const std::string& source,
         const std::function<void(int64_t)>& progress)
      : path_(source),
        source_(source, std::ios::binary),
        progress_(progress),
        chunk_(kChunkBytes, '\0') {}

  absl::StatusOr<std::string> Copy(int64_t size, const std::string& path) {
    Digest digest;
    PendingFile target(path);
    while (size > 0) {
      const int64_t wanted = std::min(size, kChunkBytes);
      source_.read(chunk_.data(), wanted);
      if (source_.gcount() != wanted) return IoError(path_, "read");
      const absl::string_view bytes(chunk_.data(), static_cast<size_t>(wanted));
      digest.Add(bytes);
      SPANLM_RETURN_IF_ERROR(target.Append(bytes));
      size -= wanted;
      done_ += wanted;
      progress_(done_);
    }
    SPANLM_RETURN_IF_ERROR(target.Commit());
    return digest.Hex();
  }

 private:
  const std::string path_;
  std::ifstream source_;
  const std::function<void(int64_t)>& progress_;
  std::string chunk_;
  int64_t done_ = 0;
};

}  // namespace

CorpusSplit DefaultSplit(int64_t size) {
  // n * 9 / 10 without overflow for any size.
  const int64_t train = size - (size + 9) / 10;
  const int64_t train_and_valid = size - (size + 19) / 20;
  return {train, train_and_valid - train, size - train_and_valid};
}

absl::StatusOr<CorpusSplit> ParseSplit(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ',');
  std::array<int64_t, 3> sizes{};
  bool is_good = parts.size() == sizes.size();
  for (size_t i = 0; is_good && i < sizes.size(); ++i) {
    // The bound keeps the sum of three from wrapping.
    is_good = absl::SimpleAtoi(parts[i], &sizes[i]) && sizes[i] >= 0 &&
              sizes[i] <= std::numeric_limits<int64_t>::max() / 4;
  }
  if (!is_good) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--split ", text,
        ": want three counts of bytes, each at least 0: TRAIN,VALID,TEST"));
  }
  return CorpusSplit{sizes[0], sizes[1], sizes[2]};
}

absl::StatusOr<int64_t> FileSize(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  }
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(path, ": size: ", error.message()));
  }
  return static_cast<int64_t>(size);
}

absl::Status PrepareSplit(const std::string& source, const std::string& folder,
                          const CorpusSplit& split) {
  SPANLM_ASSIGN_OR_RETURN(const int64_t size, FileSize(source));
  if (split.total() > size) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: the split asks for %d + %d + %d = %d bytes, the file has %d",
        source, split.train, split.valid, split.test, split.total(), size));
  }
  return MakeFolder(folder);
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(path, ": create folder: ", error.message()));
}

absl::Status WriteRawCorpus(const std::string& source,
                            const std::string& folder, const CorpusSplit& split,
                            const std::function<void(int64_t)>& progress) {
  SPANLM_RETURN_IF_ERROR(PrepareSplit(source, folder, split));
  std::error_code error;
  // An old description must not stand beside new parts.
  std::filesystem::remove(folder + "/corpus.json", error);

  Copier copier(source, progress);
  nlohmann::json splits;
  for (const auto& [name, bytes] :
       {std::pair("train", split.train), std::pair("valid", split.valid),
        std::pair("test", split.test)}) {
    SPANLM_ASSIGN_OR_RETURN(
        const std::string digest,
        copier.Copy(bytes, absl::StrCat(folder, "/", name, ".bytes")));
    splits[name] = {{"bytes", bytes}, {"sha256", digest}};
  }
  const nlohmann::json description = {
      {"format_version", kRawCorpusFormatVersion},
      {"origin", std::filesystem::path(source).filename().string()},
      {"splits", splits}};
  return WriteFileAtomically(
      folder + "/corpus.json",
      description.dump(2, ' ', false,
                       nlohmann::json::error_handler_t::replace) +
          "\n");
}

}  // namespace spanlm
