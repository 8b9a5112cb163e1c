// SPDX-License-Identifier: Apache-2.0
// Writes pickles and files of torch.save, good and bad. A value is the opcodes
// that push it, so values compose by being joined.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/checkpoint/safetensors.h"

namespace spanlm::pickle_text {

std::string Int(int32_t value);
std::string Bool(bool value);
std::string Text(const std::string& text);
std::string None();
std::string Tuple(const std::vector<std::string>& items);
std::string List(const std::vector<std::string>& items);
std::string Dict(
    const std::vector<std::pair<std::string, std::string>>& entries);
std::string Global(const std::string& module, const std::string& name);
std::string Reduce(const std::string& callable, const std::string& args);
// An object of a class that nobody knows, with `fields`.
std::string Object(const std::string& module, const std::string& name,
                   const std::string& fields);
// A storage and a view of it in C order.
std::string Storage(const std::string& type, const std::string& key,
                    int32_t count);
std::string Tensor(const std::string& storage, int32_t offset,
                   const std::vector<int64_t>& shape,
                   const std::vector<int64_t>& strides);
// A float32 tensor that is all of storage `key`.
std::string WholeTensor(const std::string& key,
                        const std::vector<int64_t>& shape);

// Protocol 2: header, value, STOP.
std::string Pickle(const std::string& value);

// The bytes of each storage, by key.
using Storages = std::map<std::string, std::string>;

// Files of torch.save with that object, as bytes.
std::string TorchZip(const std::string& value, const Storages& storages);
// `element_size`: of all storages.
std::string TorchStream(const std::string& value, const Storages& storages,
                        int64_t element_size = 4);

// A state dict: names with `prefix` to tensors, storages "0", "1", …
std::string StateDict(const std::vector<TensorData>& tensors,
                      const std::string& prefix, Storages* storages);

// A torch module of those tensors, cut into modules at the dots of their names;
// `fields` are the key and value pairs of its own.
std::string Module(const std::vector<TensorData>& tensors,
                   const std::string& fields, Storages* storages);

}  // namespace spanlm::pickle_text
