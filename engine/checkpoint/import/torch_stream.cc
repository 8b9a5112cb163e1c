// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstring>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/torch_containers.h"

namespace spanlm {
namespace {

// 0x1950a86a20f9469cfc6c, as a pickle holds it.
constexpr absl::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr int64_t kProtocol = 1001;

class StreamStorages : public StorageReader {
 public:
  StreamStorages(MappedFile file,
                 std::map<std::string, absl::string_view> storages)
      : file_(std::move(file)), storages_(std::move(storages)) {}

  absl::StatusOr<absl::string_view> Read(const std::string& key,
                                         int64_t size) override {
    const auto storage = storages_.find(key);
    if (storage == storages_.end()) {
      return absl::DataLossError(absl::StrCat("storage ", key, " is missing"));
    }
    if (storage->second.size() != static_cast<uint64_t>(size)) {
      return absl::DataLossError(absl::StrCat("storage ", key, " has ",
                                              storage->second.size(),
                                              " bytes, want ", size));
    }
    return storage->second;
  }

 private:
  MappedFile file_;
  std::map<std::string, absl::string_view> storages_;  // into file_
};

absl::StatusOr<Pickle> TakePickle(absl::string_view what,
                                  absl::string_view* rest) {
  absl::StatusOr<Pickle> pickle = Pickle::Parse(*rest);
  if (!pickle.ok()) {
    return absl::Status(pickle.status().code(),
                        absl::StrCat(what, ": ", pickle.status().message()));
  }
  rest->remove_prefix(pickle->size());
  return pickle;
}

absl::Status TakePreamble(absl::string_view* rest) {
  SPANLM_ASSIGN_OR_RETURN(const Pickle magic, TakePickle("magic number", rest));
  if (magic.root().kind != PickleKind::kLong || magic.root().text != kMagic) {
    return absl::FailedPreconditionError("not a file of torch.save");
  }
  SPANLM_ASSIGN_OR_RETURN(const Pickle protocol, TakePickle("protocol", rest));
  if (protocol.root().kind != PickleKind::kInt ||
      protocol.root().integer != kProtocol) {
    return absl::FailedPreconditionError(
        absl::StrCat("another protocol than ", kProtocol));
  }
  SPANLM_ASSIGN_OR_RETURN(const Pickle system, TakePickle("system", rest));
  const PickleNode* little = system.Find(system.root(), "little_endian");
  if (little == nullptr || little->kind != PickleKind::kBool) {
    return absl::DataLossError("system: no byte order");
  }
  return little->integer == 1
             ? absl::OkStatus()
             : absl::FailedPreconditionError("written big-endian");
}

// Cuts the bytes of each key off `rest`.
absl::StatusOr<std::map<std::string, absl::string_view>> TakeStorages(
    const Pickle& object, const Pickle& keys, absl::string_view rest) {
  std::map<std::string, int64_t> element_sizes;
  for (const PickleStorage& storage : object.storages()) {
    element_sizes[storage.key] = SizeOf(storage.dtype);
  }
  std::map<std::string, absl::string_view> storages;
  for (const PickleId id : keys.root().items) {
    const std::string& key = keys.node(id).text;
    const auto element_size = element_sizes.find(key);
    if (element_size == element_sizes.end()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "storage ", key, " is of no type that models are made of"));
    }
    uint64_t count = 0;
    if (rest.size() < sizeof(count)) {
      return absl::DataLossError(absl::StrCat("storage ", key, " is missing"));
    }
    std::memcpy(&count, rest.data(), sizeof(count));
    rest.remove_prefix(sizeof(count));
    if (count > rest.size() / element_size->second) {
      return absl::DataLossError(absl::StrCat("storage ", key, " claims ",
                                              count, " elements, ", rest.size(),
                                              " bytes are left"));
    }
    const size_t size = count * element_size->second;
    storages[key] = rest.substr(0, size);
    rest.remove_prefix(size);
  }
  return storages;
}

}  // namespace

absl::StatusOr<TorchContents> OpenTorchStream(MappedFile file) {
  absl::string_view rest(reinterpret_cast<const char*>(file.bytes().data()),
                         file.bytes().size());
  SPANLM_RETURN_IF_ERROR(TakePreamble(&rest));
  SPANLM_ASSIGN_OR_RETURN(Pickle object, TakePickle("object", &rest));
  SPANLM_ASSIGN_OR_RETURN(const Pickle keys, TakePickle("storage keys", &rest));
  if (keys.root().kind != PickleKind::kList) {
    return absl::DataLossError("storage keys: not a list");
  }
  SPANLM_ASSIGN_OR_RETURN(auto storages, TakeStorages(object, keys, rest));
  return TorchContents{
      std::move(object),
      std::make_unique<StreamStorages>(std::move(file), std::move(storages))};
}

}  // namespace spanlm
