"""Parameters, multiply-adds and activations of any Keras model, counted layer by layer."""

from efficientnet_tf.models.profile.measure import LayerProfile, Profile, profile

__all__ = ["LayerProfile", "Profile", "profile"]
