// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/export/torch_zip_writer.h"

#include <zlib.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/check.h"

namespace spanlm {
namespace {

constexpr char kFolder[] = "archive/";

// Records of the zip format (PKWARE's APPNOTE.TXT, 4.3 and 4.5).
constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kEndOfCentral = 0x06054b50;
constexpr uint16_t kVersionNeeded = 10;  // 1.0: stored entries
constexpr uint16_t kFirstDay = 0x21;     // 1980-01-01: equal calls, equal files
constexpr uint16_t kPadding = 0x4246;    // the extra field torch.save pads with
constexpr size_t kLocalHeaderSize = 30;
constexpr size_t kCentralHeaderSize = 46;
constexpr size_t kEndOfCentralSize = 22;
constexpr size_t kExtraHeaderSize = 4;
constexpr uint64_t kMaxEntries = 0xffff;

void Append16(uint16_t value, std::string* out) {
  out->push_back(static_cast<char>(value & 0xff));
  out->push_back(static_cast<char>(value >> 8));
}

void Append32(uint32_t value, std::string* out) {
  Append16(static_cast<uint16_t>(value & 0xffff), out);
  Append16(static_cast<uint16_t>(value >> 16), out);
}

// An archive under construction.
class StoredZip {
 public:
  explicit StoredZip(size_t expected_size) { bytes_.reserve(expected_size); }

  void Add(const std::string& name, absl::string_view data) {
    Entry entry;
    entry.name = kFolder + name;
    entry.offset = static_cast<uint32_t>(bytes_.size());
    entry.size = static_cast<uint32_t>(data.size());
    entry.checksum = static_cast<uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()));
    const size_t unpadded =
        bytes_.size() + kLocalHeaderSize + entry.name.size() + kExtraHeaderSize;
    constexpr size_t kAlignment = TorchZipWriter::kAlignment;
    const size_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
    Append32(kLocalHeader, &bytes_);
    AppendFacts(entry, kExtraHeaderSize + padding, &bytes_);
    bytes_ += entry.name;
    Append16(kPadding, &bytes_);
    Append16(static_cast<uint16_t>(padding), &bytes_);
    bytes_.append(padding, '\0');
    bytes_.append(data.data(), data.size());
    entries_.push_back(std::move(entry));
  }

  std::string Finish() && {
    const size_t begin = bytes_.size();
    for (const Entry& entry : entries_) {
      Append32(kCentralHeader, &bytes_);
      Append16(kVersionNeeded, &bytes_);  // made by
      AppendFacts(entry, 0, &bytes_);
      Append16(0, &bytes_);  // comment
      Append16(0, &bytes_);  // disk
      Append16(0, &bytes_);  // internal attributes
      Append32(0, &bytes_);  // external attributes
      Append32(entry.offset, &bytes_);
      bytes_ += entry.name;
    }
    const size_t size = bytes_.size() - begin;
    const auto count = static_cast<uint16_t>(entries_.size());
    Append32(kEndOfCentral, &bytes_);
    Append16(0, &bytes_);  // this disk
    Append16(0, &bytes_);  // disk of the directory
    Append16(count, &bytes_);
    Append16(count, &bytes_);
    Append32(static_cast<uint32_t>(size), &bytes_);
    Append32(static_cast<uint32_t>(begin), &bytes_);
    Append16(0, &bytes_);  // comment
    return std::move(bytes_);
  }

 private:
  struct Entry {
    std::string name;
    uint32_t offset = 0;
    uint32_t size = 0;
    uint32_t checksum = 0;
  };

  // What both headers of an entry say of it.
  static void AppendFacts(const Entry& entry, size_t extra_size,
                          std::string* out) {
    Append16(kVersionNeeded, out);
    Append16(0, out);  // flags
    Append16(0, out);  // stored
    Append16(0, out);  // midnight
    Append16(kFirstDay, out);
    Append32(entry.checksum, out);
    Append32(entry.size, out);
    Append32(entry.size, out);
    Append16(static_cast<uint16_t>(entry.name.size()), out);
    Append16(static_cast<uint16_t>(extra_size), out);
  }

  std::string bytes_;
  std::vector<Entry> entries_;
};

}  // namespace

PickleValue TorchZipWriter::AddTensor(absl::Span<const int64_t> shape,
                                      absl::Span<const float> values) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  SPANLM_CHECK(count == static_cast<int64_t>(values.size()));
  const std::string key = absl::StrCat(storages_.size());
  storages_.emplace_back(reinterpret_cast<const char*>(values.data()),
                         values.size() * sizeof(float));
  return PickleValue::Tensor(key, shape);
}

absl::StatusOr<std::string> TorchZipWriter::Finish(
    const PickleValue& object) && {
  const std::string pickle = WritePickle(object);
  constexpr uint64_t kMaxNameSize = sizeof("archive/data/4294967295");
  constexpr uint64_t kMaxAround = kLocalHeaderSize + kCentralHeaderSize +
                                  2 * kMaxNameSize + kExtraHeaderSize +
                                  kAlignment;
  const uint64_t entries = storages_.size() + 3;
  uint64_t size = kEndOfCentralSize + entries * kMaxAround + pickle.size() + 64;
  for (const std::string& storage : storages_) size += storage.size();
  if (size >= kMaxBytes || entries > kMaxEntries) {
    return absl::OutOfRangeError(absl::StrCat(
        "a checkpoint of ", size, " bytes in ", entries,
        " entries, want below ", kMaxBytes, " bytes and at most ", kMaxEntries,
        " entries (a zip archive without 64-bit fields)"));
  }
  StoredZip archive(static_cast<size_t>(size));
  archive.Add("data.pkl", pickle);
  archive.Add("byteorder", "little");
  for (size_t i = 0; i < storages_.size(); ++i) {
    archive.Add(absl::StrCat("data/", i), storages_[i]);
    std::string().swap(storages_[i]);
  }
  archive.Add("version", "3\n");
  return std::move(archive).Finish();
}

}  // namespace spanlm
