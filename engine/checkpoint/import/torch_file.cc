// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/torch_file.h"

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/torch_containers.h"
#include "engine/checkpoint/mapped_file.h"

namespace spanlm {
namespace {

// Signatures at the front of a file: a zip entry; protocol 2 and a long of ten
// bytes.
constexpr absl::string_view kZipStart = "PK\x03\x04";
constexpr absl::string_view kStreamStart = "\x80\x02\x8a\x0a";

// Elements of a tensor, and the furthest of them in its storage; an error says
// what is wrong.
absl::StatusOr<int64_t> CheckedCount(const PickleTensor& tensor,
                                     const PickleStorage& storage) {
  int64_t count = 1;
  int64_t last = tensor.offset;
  bool overflows = false;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    int64_t reach = 0;
    overflows = overflows ||
                __builtin_mul_overflow(count, tensor.shape[i], &count) ||
                __builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i],
                                       &reach) ||
                __builtin_add_overflow(last, reach, &last);
  }
  if (count == 0 && !overflows) return 0;
  // More elements than the storage has: an expanded tensor, which a short file
  // could blow up to any size.
  if (overflows || last >= storage.count || count > storage.count) {
    return absl::DataLossError(absl::StrFormat(
        "reaches past its storage of %d elements", storage.count));
  }
  return count;
}

bool IsContiguous(const PickleTensor& tensor) {
  int64_t stride = 1;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != stride) return false;
    stride *= tensor.shape[i];
  }
  return true;
}

// Copies `count` elements of `size` bytes, last dimension fastest.
std::string Gather(const PickleTensor& tensor, int64_t count, int64_t size,
                   const char* from) {
  std::string bytes(static_cast<size_t>(count * size), '\0');
  std::vector<int64_t> index(tensor.shape.size(), 0);
  int64_t place = 0;
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(bytes.data() + i * size, from + place * size,
                static_cast<size_t>(size));
    for (size_t d = index.size(); d-- > 0;) {
      place += tensor.strides[d];
      if (++index[d] < tensor.shape[d]) break;
      place -= tensor.strides[d] * tensor.shape[d];
      index[d] = 0;
    }
  }
  return bytes;
}

absl::StatusOr<std::string> ReadBytes(const PickleTensor& tensor,
                                      const PickleStorage& storage,
                                      StorageReader* storages) {
  SPANLM_ASSIGN_OR_RETURN(const int64_t count, CheckedCount(tensor, storage));
  if (count == 0) return std::string();
  const int64_t size = SizeOf(storage.dtype);
  int64_t storage_size = 0;
  if (__builtin_mul_overflow(storage.root_count, size, &storage_size)) {
    return absl::DataLossError("its storage has no end");
  }
  SPANLM_ASSIGN_OR_RETURN(const absl::string_view bytes,
                          storages->Read(storage.key, storage_size));
  const char* from = bytes.data() + (storage.offset + tensor.offset) * size;
  if (!IsContiguous(tensor)) return Gather(tensor, count, size, from);
  return std::string(from, static_cast<size_t>(count * size));
}

absl::StatusOr<TorchContents> OpenContents(const std::string& path) {
  SPANLM_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  const absl::string_view bytes(
      reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (absl::StartsWith(bytes, kZipStart)) {
    return OpenTorchZip(path, bytes.size());
  }
  if (absl::StartsWith(bytes, kStreamStart)) {
    return OpenTorchStream(std::move(file));
  }
  return absl::FailedPreconditionError("not a file of torch.save");
}

}  // namespace

absl::StatusOr<TorchFile> TorchFile::Open(const std::string& path) {
  absl::StatusOr<TorchContents> contents = OpenContents(path);
  if (absl::IsNotFound(contents.status()) ||
      absl::IsUnavailable(contents.status())) {
    return contents.status();  // names the path already
  }
  if (!contents.ok()) {
    return absl::Status(contents.status().code(),
                        absl::StrCat(path, ": ", contents.status().message()));
  }
  return TorchFile(path, std::move(contents->object),
                   std::move(contents->storages));
}

absl::StatusOr<TensorData> TorchFile::Read(const PickleTensor& tensor,
                                           const std::string& name) {
  const PickleStorage& storage = object_.storage(tensor);
  absl::StatusOr<std::string> bytes =
      ReadBytes(tensor, storage, storages_.get());
  if (!bytes.ok()) {
    return absl::Status(
        bytes.status().code(),
        absl::StrCat(path_, ": tensor ", name, ": ", bytes.status().message()));
  }
  TensorData data;
  data.name = name;
  data.dtype = storage.dtype;
  data.shape = tensor.shape;
  data.bytes = *std::move(bytes);
  return data;
}

}  // namespace spanlm
