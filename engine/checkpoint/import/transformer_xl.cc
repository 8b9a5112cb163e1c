// SPDX-License-Identifier: Apache-2.0
// kimiyoung's Transformer-XL: a pickled module, or its tensors alone.
#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/families.h"

namespace spanlm {
namespace {

// Bounds of the walk through modules, which in a hostile file are a graph.
constexpr int kMaxDepth = 32;
constexpr int kMaxModules = 100'000;

std::optional<int64_t> IntField(const Pickle& object, const PickleNode& fields,
                                absl::string_view name) {
  const PickleNode* node = object.Find(fields, name);
  if (node == nullptr || node->kind != PickleKind::kInt) return std::nullopt;
  return node->integer;
}

std::optional<bool> BoolField(const Pickle& object, const PickleNode& fields,
                              absl::string_view name) {
  const PickleNode* node = object.Find(fields, name);
  if (node == nullptr || node->kind != PickleKind::kBool) return std::nullopt;
  return node->integer != 0;
}

// Collects the tensors of a module and of those within it, named as a state
// dict of it would name them.
class ModuleWalk {
 public:
  explicit ModuleWalk(StateDict* tensors)
      : tensors_(tensors), object_(tensors->file().object()) {}

  absl::Status Visit(const PickleNode& module, const std::string& prefix,
                     int depth) {
    if (depth > kMaxDepth || ++module_count_ > kMaxModules) {
      return absl::FailedPreconditionError(
          absl::StrCat(tensors_->file().path(), ": more than ", kMaxModules,
                       " modules, or more than ", kMaxDepth, " deep"));
    }
    AddTensors(object_.Find(module, "_parameters"), prefix);
    AddTensors(object_.Find(module, "_buffers"), prefix);
    const PickleNode* modules = object_.Find(module, "_modules");
    if (modules == nullptr || modules->kind != PickleKind::kDict) {
      return absl::OkStatus();
    }
    for (size_t i = 0; i + 1 < modules->items.size(); i += 2) {
      const PickleNode& name = object_.node(modules->items[i]);
      const PickleNode& child = object_.node(modules->items[i + 1]);
      if (name.kind != PickleKind::kString ||
          child.kind != PickleKind::kRecord) {
        continue;
      }
      SPANLM_RETURN_IF_ERROR(
          Visit(child, absl::StrCat(prefix, name.text, "."), depth + 1));
    }
    return absl::OkStatus();
  }

 private:
  void AddTensors(const PickleNode* dict, const std::string& prefix) {
    if (dict == nullptr || dict->kind != PickleKind::kDict) return;
    for (size_t i = 0; i + 1 < dict->items.size(); i += 2) {
      const PickleNode& name = object_.node(dict->items[i]);
      const PickleNode& value = object_.node(dict->items[i + 1]);
      if (name.kind == PickleKind::kString &&
          value.kind == PickleKind::kTensor) {
        tensors_->Add(prefix + name.text, &object_.tensor(value));
      }
    }
  }

  StateDict* tensors_;
  const Pickle& object_;
  int module_count_ = 0;
};

// A field that must fit 32 bits; beyond them the bounds of config.json refuse.
int32_t Narrow(int64_t value) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  return static_cast<int32_t>(std::clamp<int64_t>(value, -kMost, kMost));
}

// The module itself where DataParallel is around it.
const PickleNode& Unwrap(const Pickle& object, const PickleNode& root) {
  const PickleNode* modules = object.Find(root, "_modules");
  if (modules == nullptr) return root;
  const PickleNode* module = object.Find(*modules, "module");
  return module == nullptr ? root : *module;
}

}  // namespace

TransformerXlSettings ReadTransformerXlSettings(const Pickle& object,
                                                const PickleNode& fields) {
  TransformerXlSettings settings;
  settings.mem_len = IntField(object, fields, "mem_len");
  settings.clamp_len = IntField(object, fields, "clamp_len");
  settings.same_length = BoolField(object, fields, "same_length");
  settings.attention_type = IntField(object, fields, "attn_type");
  settings.div_val = IntField(object, fields, "div_val");
  settings.pre_norm = BoolField(object, fields, "pre_lnorm");
  return settings;
}

absl::Status InferTransformerXl(const StateDict& tensors,
                                const TransformerXlSettings& settings,
                                ModelFields* fields) {
  const auto unknown = [&](absl::string_view what) {
    return absl::FailedPreconditionError(
        absl::StrCat(tensors.file().path(), ": ", what));
  };
  if (settings.attention_type.value_or(0) != 0) {
    return unknown(absl::StrCat("attn_type: ", *settings.attention_type,
                                ", this program knows 0"));
  }
  if (settings.div_val.value_or(1) != 1) {
    return unknown(
        absl::StrCat("div_val: ", *settings.div_val, ", this program knows 1"));
  }
  if (settings.pre_norm.value_or(false)) {
    return unknown("pre_lnorm: true, this program knows false");
  }
  fields->architecture = Architecture::kTransformerXl;
  SPANLM_ASSIGN_OR_RETURN(const auto embedding,
                          tensors.Shape("word_emb.emb_layers.0.weight", 2));
  SPANLM_ASSIGN_OR_RETURN(const auto inner,
                          tensors.Shape("layers.0.pos_ff.CoreNet.0.weight", 2));
  fields->tie_biases = tensors.Has("r_w_bias");
  SPANLM_ASSIGN_OR_RETURN(
      const auto bias,
      tensors.Shape(
          fields->tie_biases ? "r_w_bias" : "layers.0.dec_attn.r_w_bias", 2));
  fields->n_layer = tensors.CountLayers();
  fields->vocab_size = embedding[0];
  fields->d_model = embedding[1];
  fields->n_head = bias[0];
  fields->d_head = bias[1];
  fields->d_inner = inner[0];
  fields->mem_len = Narrow(settings.mem_len.value_or(0));
  // 0 and below mean the same to the published code.
  const int64_t clamp_len = settings.clamp_len.value_or(-1);
  fields->clamp_len = clamp_len > 0 ? Narrow(clamp_len) : -1;
  fields->same_length = settings.same_length.value_or(fields->same_length);
  return absl::OkStatus();
}

absl::StatusOr<ModelContents> ImportKimiyoung(const ImportOptions& options,
                                              TorchFile* file) {
  const Pickle& object = file->object();
  StateDict tensors(file);
  TransformerXlSettings settings;
  if (object.root().kind == PickleKind::kRecord) {
    const PickleNode& module = Unwrap(object, object.root());
    settings = ReadTransformerXlSettings(object, module);
    SPANLM_RETURN_IF_ERROR(ModuleWalk(&tensors).Visit(module, "", 0));
  } else {
    tensors = StateDict::FromDict(file, object.root(), "");
    tensors.StripPrefix("module.");
  }
  ModelFields fields;
  fields.family = Family::kKimiyoung;
  fields.memory_start = MemoryStart::kEmpty;
  SPANLM_RETURN_IF_ERROR(InferTransformerXl(tensors, settings, &fields));
  return FinishImport(options, std::move(fields), &tensors);
}

}  // namespace spanlm
