"""Fixtures as of autodiff.py, for detectors, keypoints and diffusion. Run: python test/golden/autodiff_more.py [NAME ...]"""

import sys
from unittest.mock import patch

import torch
from torch import nn

from autodiff import Wrap, main, trained


class WithoutDetach(Wrap):
    """For gradients, .detach() does nothing: no trace of it is left in an ONNX file, whose gradient is that of the whole function."""

    def forward(self, x):
        if not x.requires_grad:
            return super().forward(x)
        with patch.object(torch.Tensor, "detach", lambda tensor: tensor):
            return super().forward(x)


def detections(model, x):
    out = model(pixel_values=x)
    return out.logits, out.pred_boxes


def detr():
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 16, 24], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage4"])
    config = DetrConfig(use_timm_backbone=False, backbone_config=backbone, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32,
                        decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2, num_queries=5, num_labels=7)
    return Wrap(trained(DetrForObjectDetection(config)), detections), (1, 3, 64, 48), ["logits", "pred_boxes"]


def rt_detr():
    """Deformable attention samples the features at places that depend on the pixels; TopK picks the queries."""
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

    backbone = RTDetrResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], layer_type="basic", out_indices=[2, 3, 4])
    config = RTDetrConfig(backbone_config=backbone, initializer_range=0.2, encoder_hidden_dim=8, encoder_in_channels=[8, 8, 8], encoder_ffn_dim=16,
                          encoder_attention_heads=2, d_model=8, num_queries=6, decoder_in_channels=[8, 8, 8], decoder_ffn_dim=16, decoder_n_points=2,
                          decoder_layers=2, decoder_attention_heads=2, num_denoising=0, num_labels=7)
    # Two images: PyTorch 2.13 on a CPU returns a wrong gradient of an evaluated BatchNorm2d for a batch of one if the cotangent was
    # made by a transposition of [1, H W, C], as here by the encoder. A central difference in float64 tells.
    model = trained(RTDetrForObjectDetection(config))
    return WithoutDetach(model, detections, opset=16), (2, 3, 32, 64), ["logits", "pred_boxes"]


def superpoint():
    """Without the selection of keypoints, whose number depends on the image: the score of every pixel, and descriptors at given keypoints."""
    from transformers import SuperPointConfig, SuperPointForKeypointDetection
    from transformers.models.superpoint import modeling_superpoint

    config = SuperPointConfig(encoder_hidden_sizes=[8, 8, 12, 12], decoder_hidden_size=16, keypoint_decoder_dim=65, descriptor_decoder_dim=16, nms_radius=2)
    simple_nms = modeling_superpoint.simple_nms
    keypoints = torch.tensor([[[4.0, 4.0], [39, 31], [0, 0], [12, 21], [30, 7], [22, 22], [23, 22]]])

    def call(m, x):
        encoded = m.encoder(m.extract_one_channel_pixel_values(x)).last_hidden_state
        # The TorchScript exporter takes max_pool2d of three axes for a pooling of one and writes a node that no runtime accepts.
        with patch.object(modeling_superpoint, "simple_nms", lambda scores, radius: simple_nms(scores[:, None], radius)[:, 0]):
            scores = m.keypoint_decoder._get_pixel_scores(encoded)
        d = m.descriptor_decoder
        dense = nn.functional.normalize(d.conv_descriptor_b(d.relu(d.conv_descriptor_a(encoded))), p=2, dim=1)
        return scores, d._sample_descriptors(keypoints.clone(), dense)

    return Wrap(SuperPointForKeypointDetection(config), call, opset=16), (1, 3, 32, 40), ["scores", "descriptors"]


def unet2d():
    from diffusers import UNet2DModel

    model = UNet2DModel(sample_size=16, in_channels=3, out_channels=3, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
                        attention_head_dim=8, down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"))
    return Wrap(model, lambda m, x: (m(x, torch.tensor([37])).sample,)), (1, 3, 16, 24), ["sample"]


def autoencoder_kl():
    from diffusers import AutoencoderKL

    model = AutoencoderKL(block_out_channels=(8, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4,
                          down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)

    def call(m, x):
        mean = m.encode(x).latent_dist.mean
        return mean, m.decode(mean).sample

    return Wrap(model, call), (1, 3, 16, 24), ["mean", "sample"]


MODELS = {f.__name__: f for f in [detr, rt_detr, superpoint, unet2d, autoencoder_kl]}

if __name__ == "__main__":
    main(MODELS, sys.argv[1:])
