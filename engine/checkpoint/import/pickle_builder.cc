// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/pickle_builder.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

constexpr size_t kMaxNodes = size_t{1} << 20;
constexpr size_t kMaxItems = size_t{1} << 24;
constexpr size_t kMaxBytes = size_t{256} << 20;  // of texts, names and shapes
constexpr size_t kMaxDimensions = 8;
constexpr size_t kMaxNameSize = 1024;  // of classes and storages

struct StorageClass {
  absl::string_view name;
  DType dtype = DType::kF32;
};
constexpr StorageClass kStorageClasses[] = {
    {"FloatStorage", DType::kF32},     {"HalfStorage", DType::kF16},
    {"BFloat16Storage", DType::kBF16}, {"DoubleStorage", DType::kF64},
    {"LongStorage", DType::kI64},      {"IntStorage", DType::kI32},
    {"ByteStorage", DType::kU8},       {"BoolStorage", DType::kBool}};

std::optional<DType> DTypeOf(const PickleNode& storage_class) {
  if (storage_class.kind != PickleKind::kGlobal ||
      (storage_class.text != "torch" && storage_class.text != "torch.cuda")) {
    return std::nullopt;
  }
  for (const StorageClass& known : kStorageClasses) {
    if (known.name == storage_class.name) return known.dtype;
  }
  return std::nullopt;
}

bool Is(const PickleNode& global, absl::string_view module,
        absl::string_view name) {
  return global.kind == PickleKind::kGlobal && global.text == module &&
         global.name == name;
}

bool IsNatural(const PickleNode& node) {
  return node.kind == PickleKind::kInt && node.integer >= 0;
}

absl::Status Wrong(absl::string_view what) { return absl::DataLossError(what); }

}  // namespace

// Node 0 is None, so that 0 can say "nothing" in `args` and `state`.
PickleBuilder::PickleBuilder() { pickle_.nodes_.emplace_back(); }

absl::StatusOr<PickleId> PickleBuilder::Add(PickleNode node) {
  if (pickle_.nodes_.size() >= kMaxNodes) {
    return absl::FailedPreconditionError(
        absl::StrCat("more than ", kMaxNodes, " values"));
  }
  // Containers made of others copy them, which a short pickle can repeat.
  SPANLM_RETURN_IF_ERROR(CountItems(node.items.size()));
  SPANLM_RETURN_IF_ERROR(CountBytes(node.text.size() + node.name.size()));
  pickle_.nodes_.push_back(std::move(node));
  return static_cast<PickleId>(pickle_.nodes_.size() - 1);
}

absl::Status PickleBuilder::CountItems(size_t items) {
  item_count_ += items;
  if (item_count_ <= kMaxItems) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("more than ", kMaxItems, " elements"));
}

absl::Status PickleBuilder::CountBytes(size_t bytes) {
  byte_count_ += bytes;
  if (byte_count_ <= kMaxBytes) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("more than ", kMaxBytes, " bytes of texts and shapes"));
}

absl::StatusOr<PickleId> PickleBuilder::AddInt(PickleKind kind, int64_t value) {
  PickleNode node;
  node.kind = kind;
  node.integer = value;
  return Add(std::move(node));
}

absl::StatusOr<PickleId> PickleBuilder::AddItems(
    PickleKind kind, absl::Span<const PickleId> items) {
  PickleNode node;
  node.kind = kind;
  node.items.assign(items.begin(), items.end());
  return Add(std::move(node));
}

absl::StatusOr<PickleId> PickleBuilder::AddGlobal(absl::string_view module,
                                                  absl::string_view name) {
  if (module.size() > kMaxNameSize || name.size() > kMaxNameSize) {
    return Wrong("a class name without end");
  }
  PickleNode node;
  node.kind = PickleKind::kGlobal;
  node.text = std::string(module);
  node.name = std::string(name);
  return Add(std::move(node));
}

absl::Status PickleBuilder::Append(PickleId container,
                                   absl::Span<const PickleId> items) {
  PickleNode& node = pickle_.nodes_[container];
  if (node.kind != PickleKind::kList && node.kind != PickleKind::kSet &&
      node.kind != PickleKind::kRecord) {
    return Wrong("elements for something that is not a list or set");
  }
  SPANLM_RETURN_IF_ERROR(CountItems(items.size()));
  node.items.insert(node.items.end(), items.begin(), items.end());
  return absl::OkStatus();
}

absl::Status PickleBuilder::AppendPairs(PickleId dict,
                                        absl::Span<const PickleId> items) {
  PickleNode& node = pickle_.nodes_[dict];
  if (node.kind != PickleKind::kDict && node.kind != PickleKind::kRecord) {
    return Wrong("entries for something that is not a dict");
  }
  if (items.size() % 2 != 0) return Wrong("a key without a value");
  SPANLM_RETURN_IF_ERROR(CountItems(items.size()));
  node.items.insert(node.items.end(), items.begin(), items.end());
  return absl::OkStatus();
}

absl::StatusOr<PickleId> PickleBuilder::Reduce(PickleId callable,
                                               PickleId args) {
  const PickleNode& function = node(callable);
  const PickleNode& arguments = node(args);
  if (arguments.kind != PickleKind::kTuple) {
    return Wrong("arguments that are not a tuple");
  }
  if (Is(function, "torch._utils", "_rebuild_tensor_v2") ||
      Is(function, "torch._utils", "_rebuild_tensor")) {
    // Storages of types that no model has stay records, and so do their views.
    return arguments.items.empty() ||
                   node(arguments.items[0]).kind == PickleKind::kRecord
               ? AddRecord(callable, args)
               : RebuildTensor(arguments);
  }
  if ((Is(function, "torch._utils", "_rebuild_parameter") ||
       Is(function, "torch._utils", "_rebuild_parameter_with_state") ||
       Is(function, "torch", "Size")) &&
      !arguments.items.empty()) {
    return arguments.items[0];
  }
  if (Is(function, "collections", "OrderedDict")) return RebuildDict(arguments);
  if ((Is(function, "__builtin__", "set") || Is(function, "builtins", "set")) &&
      arguments.items.size() == 1) {
    const std::vector<PickleId> items = node(arguments.items[0]).items;
    return AddItems(PickleKind::kSet, items);
  }
  return AddRecord(callable, args);
}

void PickleBuilder::Build(PickleId object, PickleId state) {
  PickleNode& node = pickle_.nodes_[object];
  if (node.kind == PickleKind::kRecord) node.state = state;
}

absl::StatusOr<PickleId> PickleBuilder::Persistent(PickleId id) {
  const PickleNode& tuple = node(id);
  if (tuple.kind != PickleKind::kTuple || tuple.items.size() < 2 ||
      node(tuple.items[0]).kind != PickleKind::kString) {
    return Wrong("a persistent id that is neither storage nor module");
  }
  const std::string& sort = node(tuple.items[0]).text;
  if (sort == "module") return tuple.items[1];
  if (sort == "storage") return AddStorage(tuple);
  return Wrong("a persistent id that is neither storage nor module");
}

Pickle PickleBuilder::Take(PickleId root, size_t size) {
  pickle_.root_ = root;
  pickle_.size_ = size;
  return std::move(pickle_);
}

// (storage, offset, sizes, strides, …)
absl::StatusOr<PickleId> PickleBuilder::RebuildTensor(const PickleNode& args) {
  if (args.items.size() < 4 ||
      node(args.items[0]).kind != PickleKind::kStorage ||
      !IsNatural(node(args.items[1]))) {
    return Wrong("a tensor without storage or offset");
  }
  const PickleNode& sizes = node(args.items[2]);
  const PickleNode& strides = node(args.items[3]);
  if (sizes.kind != PickleKind::kTuple || strides.kind != PickleKind::kTuple ||
      sizes.items.size() != strides.items.size()) {
    return Wrong("a tensor without sizes and as many strides");
  }
  if (sizes.items.size() > kMaxDimensions) {
    return Wrong(absl::StrCat("a tensor of ", sizes.items.size(),
                              " dimensions, want at most ", kMaxDimensions));
  }
  SPANLM_RETURN_IF_ERROR(CountBytes(sizeof(PickleTensor) +
                                    2 * sizeof(int64_t) * sizes.items.size()));
  PickleTensor tensor;
  tensor.storage = static_cast<size_t>(node(args.items[0]).integer);
  tensor.offset = node(args.items[1]).integer;
  for (size_t i = 0; i < sizes.items.size(); ++i) {
    const PickleNode& size = node(sizes.items[i]);
    const PickleNode& stride = node(strides.items[i]);
    if (!IsNatural(size) || !IsNatural(stride)) {
      return Wrong("a tensor with a size or stride below 0");
    }
    tensor.shape.push_back(size.integer);
    tensor.strides.push_back(stride.integer);
  }
  pickle_.tensors_.push_back(std::move(tensor));
  return AddInt(PickleKind::kTensor,
                static_cast<int64_t>(pickle_.tensors_.size() - 1));
}

// () or (list of pairs)
absl::StatusOr<PickleId> PickleBuilder::RebuildDict(const PickleNode& args) {
  PickleNode dict;
  dict.kind = PickleKind::kDict;
  if (!args.items.empty()) {
    for (const PickleId pair : node(args.items[0]).items) {
      if (node(pair).items.size() != 2) return Wrong("a dict entry of no pair");
      dict.items.push_back(node(pair).items[0]);
      dict.items.push_back(node(pair).items[1]);
    }
  }
  return Add(std::move(dict));
}

absl::StatusOr<PickleId> PickleBuilder::AddRecord(PickleId callable,
                                                  PickleId args) {
  PickleNode record;
  record.kind = PickleKind::kRecord;
  if (node(callable).kind == PickleKind::kGlobal) {
    record.text = node(callable).text;
    record.name = node(callable).name;
  }
  record.args = args;
  return Add(std::move(record));
}

// ("storage", class, key, location, count[, None or (key, offset, count)])
absl::StatusOr<PickleId> PickleBuilder::AddStorage(const PickleNode& id) {
  if (id.items.size() < 5 || id.items.size() > 6) {
    return Wrong("a storage of not five or six parts");
  }
  const std::optional<DType> dtype = DTypeOf(node(id.items[1]));
  if (!dtype.has_value()) return AddRecord(id.items[1], id.items[2]);
  const PickleNode& key = node(id.items[2]);
  const PickleNode& count = node(id.items[4]);
  if (key.kind != PickleKind::kString || key.text.size() > kMaxNameSize ||
      !IsNatural(count)) {
    return Wrong("a storage without key or element count");
  }
  PickleStorage storage = {key.text, *dtype, count.integer, 0, count.integer};
  if (id.items.size() == 6 && node(id.items[5]).kind != PickleKind::kNone) {
    const PickleNode& view = node(id.items[5]);
    if (view.kind != PickleKind::kTuple || view.items.size() != 3 ||
        !IsNatural(node(view.items[1])) || !IsNatural(node(view.items[2]))) {
      return Wrong("a storage view without offset and size");
    }
    storage.offset = node(view.items[1]).integer;
    storage.count = node(view.items[2]).integer;
    if (storage.offset > storage.root_count ||
        storage.count > storage.root_count - storage.offset) {
      return Wrong("a storage view past its storage");
    }
  }
  SPANLM_RETURN_IF_ERROR(
      CountBytes(sizeof(PickleStorage) + storage.key.size()));
  pickle_.storages_.push_back(std::move(storage));
  return AddInt(PickleKind::kStorage,
                static_cast<int64_t>(pickle_.storages_.size() - 1));
}

}  // namespace spanlm
