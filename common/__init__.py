"""Words both sides speak: types, codec, sampling, tokenizer, errors, settings. Imports neither edge nor cloud."""
