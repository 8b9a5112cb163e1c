// SPDX-License-Identifier: Apache-2.0
#include "tests/engine/checkpoint/pickle_text.h"

#include <zip.h>

#include <cstring>

#include "tests/support/temp_dir.h"

namespace spanlm::pickle_text {
namespace {

template <typename Number>
std::string Raw(Number number) {
  std::string bytes(sizeof(Number), '\0');
  std::memcpy(bytes.data(), &number, sizeof(Number));
  return bytes;
}

std::string Joined(const std::vector<std::string>& items) {
  std::string joined;
  for (const std::string& item : items) joined += item;
  return joined;
}

std::string Sizes(const std::vector<int64_t>& sizes) {
  std::vector<std::string> items;
  for (const int64_t size : sizes) items.push_back(Int(static_cast<int>(size)));
  return Tuple(items);
}

}  // namespace

std::string Int(int32_t value) { return "J" + Raw(value); }
std::string Bool(bool value) { return value ? "\x88" : "\x89"; }
std::string Text(const std::string& text) {
  return "X" + Raw(static_cast<uint32_t>(text.size())) + text;
}
std::string None() { return "N"; }
std::string Tuple(const std::vector<std::string>& items) {
  return "(" + Joined(items) + "t";
}
std::string List(const std::vector<std::string>& items) {
  return "](" + Joined(items) + "e";
}
std::string Dict(
    const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string text = "}(";
  for (const auto& [key, value] : entries) text += Text(key) + value;
  return text + "u";
}
std::string Global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
std::string Reduce(const std::string& callable, const std::string& args) {
  return callable + args + "R";
}
std::string Object(const std::string& module, const std::string& name,
                   const std::string& fields) {
  return Global(module, name) + ")\x81" + fields + "b";
}

std::string Storage(const std::string& type, const std::string& key,
                    int32_t count) {
  return Tuple({Text("storage"), Global("torch", type), Text(key),
                Text("cuda:0"), Int(count)}) +
         "Q";
}

std::string Tensor(const std::string& storage, int32_t offset,
                   const std::vector<int64_t>& shape,
                   const std::vector<int64_t>& strides) {
  return Reduce(
      Global("torch._utils", "_rebuild_tensor_v2"),
      Tuple({storage, Int(offset), Sizes(shape), Sizes(strides), Bool(false),
             Reduce(Global("collections", "OrderedDict"), ")")}));
}

std::string WholeTensor(const std::string& key,
                        const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t count = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = count;
    count *= shape[i];
  }
  return Tensor(Storage("FloatStorage", key, static_cast<int>(count)), 0, shape,
                strides);
}

std::string Pickle(const std::string& value) {
  return "\x80\x02" + value + ".";
}

std::string TorchZip(const std::string& value, const Storages& storages) {
  const TempDir folder;
  const std::string path = folder.File("a.pt");
  Storages entries = {{"a/data.pkl", Pickle(value)}, {"a/version", "3\n"}};
  for (const auto& [key, bytes] : storages) entries["a/data/" + key] = bytes;
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE, nullptr);
  for (const auto& [name, bytes] : entries) {
    const zip_int64_t index = zip_file_add(
        archive, name.c_str(),
        zip_source_buffer(archive, bytes.data(), bytes.size(), 0), 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index),
                             ZIP_CM_STORE, 0);
    zip_file_set_dostime(archive, static_cast<zip_uint64_t>(index), 0, 33, 0);
  }
  zip_close(archive);
  return ReadFile(path);
}

std::string TorchStream(const std::string& value, const Storages& storages,
                        int64_t element_size) {
  const std::string magic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  std::vector<std::string> keys;
  for (const auto& [key, bytes] : storages) keys.push_back(Text(key));
  std::string file = Pickle(magic) + Pickle(Int(1001)) +
                     Pickle(Dict({{"little_endian", Bool(true)}})) +
                     Pickle(value) + Pickle(List(keys));
  for (const auto& [key, bytes] : storages) {
    file += Raw(static_cast<int64_t>(bytes.size()) / element_size) + bytes;
  }
  return file;
}

std::string StateDict(const std::vector<TensorData>& tensors,
                      const std::string& prefix, Storages* storages) {
  std::vector<std::pair<std::string, std::string>> entries;
  for (const TensorData& tensor : tensors) {
    const std::string key = std::to_string(storages->size());
    (*storages)[key] = tensor.bytes;
    entries.emplace_back(prefix + tensor.name, WholeTensor(key, tensor.shape));
  }
  return Dict(entries);
}

std::string Module(const std::vector<TensorData>& tensors,
                   const std::string& fields, Storages* storages) {
  std::map<std::string, std::vector<TensorData>> children;
  std::vector<std::pair<std::string, std::string>> parameters, modules;
  for (TensorData tensor : tensors) {
    const size_t dot = tensor.name.find('.');
    if (dot == std::string::npos) {
      const std::string key = std::to_string(storages->size());
      (*storages)[key] = tensor.bytes;
      parameters.emplace_back(tensor.name, WholeTensor(key, tensor.shape));
      continue;
    }
    const std::string child = tensor.name.substr(0, dot);
    tensor.name = tensor.name.substr(dot + 1);
    children[child].push_back(tensor);
  }
  for (const auto& [name, own] : children) {
    modules.emplace_back(name, Module(own, "", storages));
  }
  return Global("mem_transformer", "Part") + ")\x81}(" + fields +
         Text("_parameters") + Dict(parameters) + Text("_buffers") + Dict({}) +
         Text("_modules") + Dict(modules) + "ub";
}

}  // namespace spanlm::pickle_text
