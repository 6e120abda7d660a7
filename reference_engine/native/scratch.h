// Scratch buffer: memory that grows and is never cleared, aligned to what a cache moves at once.
#pragma once

#include <cstdint>
#include <new>

class Scratch {
  public:
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { drop(); }

    float* get(int64_t floats) {
        if (floats > size_) {
            drop();
            size_ = 0;
            data_ = static_cast<float*>(::operator new(sizeof(float) * (floats + floats / 4), LINE));
            size_ = floats + floats / 4;
        }
        return data_;
    }

  private:
    static constexpr std::align_val_t LINE{64};
    void drop() {
        if (data_) ::operator delete(data_, LINE);
        data_ = nullptr;
    }

    float* data_ = nullptr;
    int64_t size_ = 0;
};
